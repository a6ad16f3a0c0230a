#pragma once
// Mean and covariance of a layer's queries as they are before they are turned by their positions,
// added up token by token: what is known of the queries to come.

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "cache/policy.h"
#include "policy/policy.h"

namespace dms::policy {

class QueryMoments final : public cache::PolicyState {
 public:
  QueryMoments(int64_t q_heads, int64_t head_dim) : q_heads_(q_heads), head_dim_(head_dim) {}

  std::unique_ptr<cache::PolicyState> fork() const override {
    return std::make_unique<QueryMoments>(*this);
  }
  void restart() override;
  void write(ByteWriter& out) const override;
  void read(ByteReader& in) override;
  int64_t bytes() const override;
  int64_t most_bytes(int64_t tokens) const override;

  /// Adds queries, turned by `rotation`, but for those of the first `skipped` positions.
  void add(const cache::SeenTokens& seen, const Rotation& rotation, int64_t skipped);

  /// [head_dim]; zeros where nothing was added.
  std::vector<double> mean(int64_t q_head) const;
  /// [head_dim, head_dim], of the queries added as if they were all there are.
  std::vector<double> covariance(int64_t q_head) const;

 private:
  /// Sums of products of two channels: those of the lower triangle of a symmetric matrix.
  int64_t products() const { return head_dim_ * (head_dim_ + 1) / 2; }
  void add_to_head(int64_t head, std::span<const float> query);

  int64_t q_heads_;
  int64_t head_dim_;
  int64_t count_ = 0;
  std::vector<double> sums_;      // [q_heads, head_dim]; empty: nothing was added
  std::vector<double> products_;  // [q_heads, products()]; likewise
};

}  // namespace dms::policy
