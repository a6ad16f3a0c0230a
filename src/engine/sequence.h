#pragma once
// One sequence: its tokens, its cache, and going forward, back and apart. Engine thread only.

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "cache/sequence_cache.h"
#include "dms/llm.h"
#include "engine/model_iface.h"

namespace dms::engine {

/// Called with the logits after each token: index among the appended tokens, row [vocab].
using LogitSink = std::function<void(int64_t index, std::span<const float> row)>;

class Sequence {
 public:
  Sequence(Model& model, std::unique_ptr<cache::SequenceCache> cache, int64_t chunk_tokens);

  int64_t tokens() const { return cache_->tokens(); }
  std::span<const int32_t> ids() const { return ids_; }
  const cache::SequenceCache& cache() const { return *cache_; }
  const Timings& timings() const { return timings_; }

  /// Throws InputError unless `ids` are in the vocabulary and fit the model's context.
  void check(std::span<const int32_t> ids) const;

  /// Starts a prompt: `dynamic` RoPE is fixed by the first one's length.
  void begin_prompt(int64_t prompt_tokens);
  /// How many of `wanted` tokens may go into the next chunk, at least one: whether there is memory
  /// for a pass is require_memory()'s to say.
  int64_t next_chunk(int64_t wanted) const;
  /// The part of a pass that appends `ids`; require_memory() must come before the pass, record()
  /// after it.
  model::Segment segment(std::span<const int32_t> ids, model::LogitRows rows);
  void record(std::span<const int32_t> ids);

  /// Appends in chunks; with a sink every token's logits are computed. Returns the last token's
  /// logits, valid until the model's next pass.
  std::span<const float> append(std::span<const int32_t> ids,
                                const LogitSink& sink,
                                const Progress& progress);

  /// Forgets all but the first `tokens` tokens. Throws RunError when what must be recomputed meets
  /// the memory limit; the tokens computed until then stay.
  void truncate(int64_t tokens);
  std::unique_ptr<Sequence> fork() const;

 private:
  std::span<const float> compute(std::span<const int32_t> ids,
                                 const LogitSink& sink,
                                 const Progress& progress);
  std::span<const float> append_chunk(std::span<const int32_t> ids, bool all_logits);

  Model* model_;
  std::unique_ptr<cache::SequenceCache> cache_;
  int64_t chunk_tokens_;
  int64_t first_prompt_tokens_ = 0;
  std::vector<int32_t> ids_;
  Timings timings_;
};

/// KvStats of sequences that share their pools, together.
KvStats kv_stats(std::span<const cache::SequenceCache* const> caches);
KvStats kv_stats(const cache::SequenceCache& cache);

/// Adds the time from construction to destruction to a Timings: one token is decode, more are
/// prefill.
class TimedPass {
 public:
  TimedPass(const Model& model, Timings& timings, int64_t tokens);
  ~TimedPass();
  TimedPass(const TimedPass&) = delete;
  TimedPass& operator=(const TimedPass&) = delete;

 private:
  const Model& model_;
  Timings& timings_;
  int64_t tokens_;
  double attention_before_;
  double start_s_;
};

}  // namespace dms::engine
