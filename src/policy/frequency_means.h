#pragma once
// Means of a layer's queries as they are before they are turned by their positions, and of the
// sizes of their pairs of channels that are turned together, added up token by token.

#include <cmath>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "cache/policy.h"
#include "policy/policy.h"

namespace dms::policy {

/// Of channels i and i + pairs.
inline double pair_size(std::span<const float> x, size_t i, size_t pairs) {
  const double a = x[i];
  const double b = x[i + pairs];
  return std::sqrt(a * a + b * b);
}

class FrequencyMeans final : public cache::PolicyState {
 public:
  /// Channel i is turned with channel i + pairs, of the first 2 * pairs.
  FrequencyMeans(int64_t q_heads, int64_t head_dim, int64_t pairs)
      : q_heads_(q_heads), head_dim_(head_dim), pairs_(pairs) {}

  std::unique_ptr<cache::PolicyState> fork() const override {
    return std::make_unique<FrequencyMeans>(*this);
  }
  void restart() override;
  void write(ByteWriter& out) const override;
  void read(ByteReader& in) override;
  int64_t bytes() const override;
  int64_t most_bytes(int64_t tokens) const override;

  /// Adds queries, turned by `rotation`.
  void add(const cache::SeenTokens& seen, const Rotation& rotation);

  /// [head_dim]; zeros where nothing was added.
  std::vector<double> mean(int64_t q_head) const;
  /// Mean size of each pair, [pairs].
  std::vector<double> mean_sizes(int64_t q_head) const;

 private:
  int64_t q_heads_;
  int64_t head_dim_;
  int64_t pairs_;
  int64_t count_ = 0;
  std::vector<double> sums_;   // [q_heads, head_dim]; empty: nothing was added
  std::vector<double> sizes_;  // [q_heads, pairs]; likewise
};

}  // namespace dms::policy
