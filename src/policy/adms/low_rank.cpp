// A block of low rank: the truncated SVD of the middle's keys (after RoPE) and that of its values.
// What the last plan left is a product already, so the SVD is taken of that product and the new
// rows without multiplying it out. With L = [rows of the block, 0; 0, identity] and R = [its basis;
// new rows] the matrix is L R, and its singular vectors are those of a small symmetric matrix. The
// oldest tokens are dropped where a block would exceed its budget.

#include <algorithm>
#include <cmath>
#include <utility>

#include <Eigen/Dense>

#include "kernels/small_matrix.h"
#include "policy/adms/compressor.h"
#include "policy/adms/symmetric_eigen.h"

namespace dms::policy {
namespace {

using kernels::SmallMatrix;
using Floats = SmallMatrix<float>;
using Doubles = SmallMatrix<double>;

/// Tokens that stay, by rising position: of the block and of what leaves, the last ones each.
struct Sources {
  std::vector<int32_t> positions;
  std::vector<bool> is_new;  // [positions]
  int64_t old_count = 0;
  int64_t new_count = 0;
  int64_t dropped = 0;

  int64_t count() const { return std::ssize(positions); }
};

Sources sources_of(const cache::LowRankBlock& block,
                   std::span<const int32_t> leaving,
                   int64_t most_tokens) {
  Sources sources;
  const auto all = std::ssize(block.positions) + std::ssize(leaving);
  sources.dropped = std::max<int64_t>(all - std::max<int64_t>(most_tokens, 0), 0);
  auto old = block.positions.begin();
  auto fresh = leaving.begin();
  for (int64_t i = 0; i < all; ++i) {
    const bool is_new = old == block.positions.end() || (fresh != leaving.end() && *fresh < *old);
    const int32_t position = is_new ? *fresh++ : *old++;
    if (i < sources.dropped) continue;
    ++(is_new ? sources.new_count : sources.old_count);
    sources.positions.push_back(position);
    sources.is_new.push_back(is_new);
  }
  return sources;
}

template <class To, class From>
SmallMatrix<To> converted(const SmallMatrix<From>& matrix) {
  SmallMatrix<To> out(matrix.rows(), matrix.columns());
  for (int64_t i = 0; i < matrix.rows(); ++i) {
    std::transform(matrix.row(i), matrix.row(i) + matrix.columns(), out.row(i), [](From number) {
      return static_cast<To>(number);
    });
  }
  return out;
}

/// F with F^T F = square, which is symmetric and without negative eigenvalues but by rounding.
Doubles factor_of(const Doubles& square) {
  const int64_t n = square.rows();
  Doubles factor(n, n);
  if (n == 0) return factor;
  const Eigen::LDLT<Eigen::MatrixXd> ldlt(
      Eigen::Map<const Eigen::MatrixXd, 0, Eigen::OuterStride<>>(
          square.data(), n, n, Eigen::OuterStride<>(square.stride())));
  const Eigen::MatrixXd lower =
      ldlt.transpositionsP().transpose() * Eigen::MatrixXd(ldlt.matrixL());
  for (int64_t i = 0; i < n; ++i) {
    const double root = std::sqrt(std::max(ldlt.vectorD()(i), 0.0));
    for (int64_t j = 0; j < n; ++j) factor.at(i, j) = root * lower(j, i);
  }
  return factor;
}

/// The first `rank` right singular vectors of L R, by rows, [rank, d]; zeros for those that do not
/// exist. With F^T F the Gram matrix of L, F R has the singular values and right vectors of L R.
Doubles right_vectors(const Doubles& old_gram, const Doubles& right, int64_t rank) {
  const int64_t old_rank = old_gram.rows();
  const int64_t d = right.columns();
  Doubles top(old_rank, d);
  std::copy_n(right.data(), old_rank * right.stride(), top.data());
  top = product(factor_of(old_gram), top);
  Doubles weighted = right;
  std::copy_n(top.data(), old_rank * top.stride(), weighted.data());
  const Doubles transposed = weighted.transposed();
  const bool is_tall = right.rows() >= d;
  const SymmetricEigen eigen =
      symmetric_eigen(is_tall ? product(transposed, weighted) : product(weighted, transposed));
  Doubles chosen(rank, is_tall ? d : right.rows());
  const int64_t found = std::min(rank, chosen.columns());
  for (int64_t i = 0; i < found; ++i) {
    const double square = eigen.values[static_cast<size_t>(i)];
    constexpr double kNothing = 1e-12;  // of the largest: rounding
    if (!is_tall && square <= kNothing * eigen.values.front()) continue;
    const double factor = is_tall ? 1.0 : 1.0 / std::sqrt(square);
    std::transform(eigen.vectors.row(i),
                   eigen.vectors.row(i) + chosen.columns(),
                   chosen.row(i),
                   [&](double number) { return number * factor; });
  }
  return is_tall ? chosen : product(chosen, weighted);
}

/// Numbers of a block's factor: [rows, columns], or the other way round.
struct FactorView {
  std::span<const float> numbers;
  bool is_transposed = false;

  /// The last `rows` of `all_rows`.
  void read_last(int64_t all_rows, int64_t rows, int64_t columns, Floats& out) const {
    out.reset(rows, columns);
    const float* from = numbers.data() + (all_rows - rows) * (is_transposed ? 1 : columns);
    for (int64_t i = 0; i < rows; ++i) {
      float* row = out.row(i);
      if (is_transposed) {
        for (int64_t c = 0; c < columns; ++c) row[c] = from[c * all_rows + i];
      } else {
        std::copy_n(from + i * columns, columns, row);
      }
    }
  }
};

/// A row of a factor of `rows` as it lies in a block.
void write_row(const float* from,
               int64_t columns,
               int64_t row,
               int64_t rows,
               bool is_transposed,
               std::vector<float>& out) {
  if (is_transposed) {
    for (int64_t c = 0; c < columns; ++c) out[static_cast<size_t>(c * rows + row)] = from[c];
  } else {
    std::copy_n(from, columns, out.begin() + row * columns);
  }
}

/// A product as it lies in a block: rows [tokens, rank], or the other way round, by basis
/// [rank, d], or likewise.
struct Factors {
  FactorView rows;
  FactorView basis;
  int64_t tokens = 0;
  int64_t rank = 0;
};

/// Kept by each thread: what is given back to the system costs more than the products.
struct Workspace {
  Floats old_rows;
  Floats old_columns;  // the same, transposed
  Floats old_basis;
  Floats from_old;
};

/// The first `rank` of what `old` and the `added` [added, d] are together, laid out as `old` is.
void truncate(const Factors& old,
              std::span<const float> added,
              int64_t d,
              const Sources& sources,
              int64_t rank,
              std::vector<float>& rows,
              std::vector<float>& basis) {
  thread_local Workspace work;
  old.rows.read_last(old.tokens, sources.old_count, old.rank, work.old_rows);
  work.old_rows.transpose_into(work.old_columns);
  old.basis.read_last(old.rank, old.rank, d, work.old_basis);
  Doubles right(old.rank + sources.new_count, d);
  for (int64_t i = 0; i < right.rows(); ++i) {
    const float* from = i < old.rank ? work.old_basis.row(i)
                                     : added.data() + std::ssize(added) - (right.rows() - i) * d;
    std::copy_n(from, d, right.row(i));
  }
  const Doubles old_gram = converted<double>(product(work.old_columns, work.old_rows));
  const Doubles vectors = right_vectors(old_gram, right, rank);
  const Floats directions = converted<float>(vectors);
  basis.resize(static_cast<size_t>(rank * d));
  for (int64_t i = 0; i < rank; ++i) {
    write_row(directions.row(i), d, i, rank, old.basis.is_transposed, basis);
  }
  const Floats projected = converted<float>(product(right, vectors.transposed()));
  Floats projected_old(old.rank, rank);
  std::copy_n(projected.data(), old.rank * projected.stride(), projected_old.data());
  multiply_into(work.old_rows, projected_old, work.from_old);
  rows.resize(static_cast<size_t>(sources.count() * rank));
  int64_t old_row = 0;
  int64_t new_row = old.rank;
  for (int64_t i = 0; i < sources.count(); ++i) {
    const bool is_new = sources.is_new[static_cast<size_t>(i)];
    write_row(is_new ? projected.row(new_row++) : work.from_old.row(old_row++),
              rank,
              i,
              sources.count(),
              old.rows.is_transposed,
              rows);
  }
}

class LowRank final : public Compressor {
 public:
  LowRank(int64_t rank, int64_t most_tokens) : rank_(rank), most_tokens_(most_tokens) {}

  cache::Digest compress(CompressRequest request) const override {
    const cache::HeadContents& leaving = request.leaving;
    const cache::LowRankBlock& before = request.before.block;
    const int64_t d = leaving.head_dim;
    // A block pays for its basis first: a budget of few entries has tokens at a lower rank only.
    const int64_t rank = std::min({rank_, d, std::max<int64_t>(request.budget / 2, 1)});
    const int64_t most = std::min(most_tokens_, request.budget * d / rank - d);
    const Sources sources = sources_of(before, leaving.positions, most);
    cache::Digest digest;
    digest.dropped = request.before.dropped + sources.dropped;
    if (sources.positions.empty()) return digest;
    cache::LowRankBlock& block = digest.block;
    block.rank = std::min<int64_t>(rank, std::ssize(sources.positions));
    block.positions = sources.positions;
    const Factors keys{.rows = {before.key_rows, true},
                       .basis = {before.key_basis, true},
                       .tokens = before.tokens(),
                       .rank = before.rank};
    const Factors values{.rows = {before.value_rows, false},
                         .basis = {before.value_basis, false},
                         .tokens = before.tokens(),
                         .rank = before.rank};
    truncate(keys, leaving.keys, d, sources, block.rank, block.key_rows, block.key_basis);
    truncate(values, leaving.values, d, sources, block.rank, block.value_rows, block.value_basis);
    return digest;
  }

  int64_t most_merged(int64_t) const override { return 0; }

 private:
  int64_t rank_;
  int64_t most_tokens_;
};

}  // namespace

CompressorPtr low_rank_compressor(int64_t rank, int64_t most_tokens) {
  return std::make_unique<LowRank>(rank, most_tokens);
}

}  // namespace dms::policy
