#pragma once
// What tokens attend of each other within chunks of a fixed length, before and behind them alike: a
// guess at what matters that needs no queries to come. As NVIDIA/kvpress's NonCausalAttnPress.

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "cache/policy.h"
#include "policy/policy.h"

namespace dms::policy {

/// Of one layer. Chunks begin at position `skipped`; one is added up once `spare` tokens follow it.
class ChunkAttention final : public cache::PolicyState {
 public:
  struct Shape {
    int64_t kv_heads = 0;
    int64_t group = 1;  // query heads
    int64_t head_dim = 0;
    int64_t chunk_size = 256;
    int64_t skipped = 0;
    int64_t spare = 0;
    // By it scores fall with distance, ahead as behind.
    PositionBias position_bias{};
  };

  explicit ChunkAttention(const Shape& shape)
      : shape_(shape), sums_(static_cast<size_t>(shape.kv_heads)) {}

  std::unique_ptr<cache::PolicyState> fork() const override {
    return std::make_unique<ChunkAttention>(*this);
  }
  void restart() override;
  void write(ByteWriter& out) const override;
  void read(ByteReader& in) override;
  int64_t bytes() const override;
  int64_t most_bytes(int64_t tokens) const override;

  void add(const cache::SeenTokens& seen);

  /// For each token from first_sum() on, but for the last `spare`: its weights, summed over the
  /// chunk's queries, their mean over the group. `tokens`: of the sequence, all of them added.
  std::vector<float> sums(int64_t kv_head, int64_t tokens) const;
  /// Position `skipped`, or that of the chunk that was under way at the last forget_finished().
  int64_t first_sum(int64_t tokens) const { return tokens - waiting() - std::ssize(sums_.front()); }
  /// Gives back what is known of finished chunks, and room that is not used. The chunk under way
  /// stays: tokens to come attend its tokens.
  void forget_finished();

 private:
  size_t row_width() const {
    return static_cast<size_t>((shape_.group + 1) * shape_.kv_heads * shape_.head_dim);
  }
  int64_t waiting() const { return std::ssize(rows_) / static_cast<int64_t>(row_width()); }
  std::vector<float> chunk_sums(int64_t kv_head, int64_t count, int64_t first) const;
  std::vector<float> places_of_chunk(int64_t q_head, int64_t first) const;
  void multiply(int64_t token,
                int64_t q_head,
                std::span<const float> channels,
                std::span<float> scores) const;

  Shape shape_;
  std::vector<float> rows_;               // of the chunk under way: [queries | keys] of each token
  std::vector<std::vector<float>> sums_;  // [kv_heads][tokens of finished chunks that are kept]
};

}  // namespace dms::policy
