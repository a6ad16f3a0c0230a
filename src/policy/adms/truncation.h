#pragma once
// The truncated SVD of a product and of rows added to it, without multiplying the product out. With
// L = [rows of the product, 0; 0, identity] and R = [its basis; new rows] the matrix is L R. Its
// rows lie in the space of R's, and in an orthonormal basis of that the right singular vectors are
// those of a small symmetric matrix.

#include <cstdint>
#include <span>
#include <vector>

namespace dms::policy {

/// How factors lie: rows [tokens, rank] and basis [rank, d], or both the other way round.
enum class Order { by_rows, by_columns };

/// A product of two factors.
struct Factors {
  std::span<const float> rows;
  std::span<const float> basis;
  Order order = Order::by_rows;
  int64_t tokens = 0;
  int64_t rank = 0;
};

struct Truncation {
  Factors old;
  int64_t old_count = 0;         // its last tokens, which stay
  std::span<const float> added;  // [tokens, d]
  int64_t added_count = 0;       // the last of them, which stay
  int64_t d = 0;
  int64_t rank = 0;
  /// Where each token of the result comes from: old ones that stay, then the added ones that do.
  std::span<const int64_t> sources;
  /// The result as the old product lies, which may lie there.
  std::vector<float>& rows;
  std::vector<float>& basis;
};

/// Two, whose long chains of dependent operations go side by side.
void truncate(const Truncation& a, const Truncation& b);

}  // namespace dms::policy
