#pragma once
// How a policy's plan for one layer comes about: what its heads hold is put before the policy, and
// what it says goes.

#include <cstdint>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "cache/head_cache.h"
#include "cache/policy.h"
#include "kernels/alibi.h"

namespace dms::cache {

/// A head's entries with what they hold, by rising position.
struct StoredRows {
  std::vector<int32_t> positions;
  std::vector<float> keys;    // [entries, head_dim]
  std::vector<float> values;  // likewise, or empty
};

/// Those of the tokens [begin, end).
StoredRows read_rows(
    const HeadCache& head, int64_t head_dim, int64_t begin, int64_t end, bool with_values);

/// A layer's last queries, or queries and keys, by position.
class QueryRing {
 public:
  /// `count` rows of `width` floats in all; 0: nothing is kept.
  QueryRing(int64_t count, int64_t width) : count_(count), width_(width) {}

  int64_t count() const { return count_; }
  void store(int64_t position, std::span<const float> queries, std::span<const float> keys);
  /// One of the last count() rows that were stored.
  std::span<const float> at(int64_t position) const;
  void write(ByteWriter& out) const { out.list(std::span(rows_)); }
  /// Throws InputError on rows of another number.
  void read(ByteReader& in);
  int64_t bytes() const { return static_cast<int64_t>(rows_.capacity() * sizeof(float)); }

 private:
  int64_t count_;
  int64_t width_;
  std::vector<float> rows_;
};

class ValueProjection;

/// What a plan is made from, besides the heads.
struct PlanContext {
  const Policy* policy = nullptr;
  PolicyState* state = nullptr;  // of the layer, where the policy has one
  int64_t layer = 0;
  const QueryRing* queries = nullptr;
  int64_t tokens = 0;        // computed so far
  int64_t prompt_begin = 0;  // of the prompt that has ended; else tokens
  int64_t head_dim = 0;
  int64_t group = 1;
  int64_t rope_length = 0;  // as of HeadContents
  float attention_scale = 1.0f;
  float attention_soft_cap = 0.0f;  // 0: none
  const kernels::Alibi* alibi = nullptr;
  int64_t sliding_window = 0;
  const ValueProjection* projection = nullptr;
  std::span<const PromptSpan> prompts{};
};

/// What the layer holds, as the policy wants to see it. `ranked`: takes keys and values of each
/// head's entries that are ranked.
LayerEntries read_layer(const PlanContext& context,
                        std::span<const HeadCache> heads,
                        std::vector<StoredRows>* ranked = nullptr);

/// Shows the layer to a policy that remembers, where a plan is only carried out again.
void observe_layer(const PlanContext& context, std::span<const HeadCache> heads);

/// Asks the policy and forgets what it says goes. Throws std::logic_error on a plan of another
/// shape.
void plan_layer(const PlanContext& context, std::span<HeadCache> heads);

/// Forgets what the plan for `layer`, which read_layer() made, says goes. Throws as plan_layer().
void carry_out(const EvictionPlan& plan, const LayerEntries& layer, std::span<HeadCache> heads);

}  // namespace dms::cache
