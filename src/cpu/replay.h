#pragma once
// The replay pass of KVzip (Kim et al., arXiv 2505.23416), as NVIDIA/kvpress' KVzip press has it: a
// model that has read a context is made to repeat it, chunk by chunk, and what the repetition
// attends of the context's entries at most says what they are worth. KVzip+ (arXiv 2601.07891)
// counts attention by what it adds to the residual stream. The words that ask for the repetition
// count among the queries (KVzap's own data leave them out). Engine thread only.

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "cache/policy.h"
#include "cpu/cpu_model.h"
#include "cpu/cpu_sequence.h"
#include "cpu/replay_prompt.h"
#include "kernels/alibi.h"

namespace dms::cpu {

/// Appends `ids` to a sequence of `length` tokens in the end, some hundred at a time; memory for
/// them was reserved, or is not limited. Throws RunError where it is not enough.
void read_text(CpuModel& model,
               engine::SequenceState& sequence,
               std::span<const int32_t> ids,
               int64_t length);

using cache::ReplayScore;

struct ReplayLayers {
  int64_t begin = 0;
  int64_t end = 0;
};

class Replay {
 public:
  static constexpr int64_t kSinks = 4;  // first entries, which each repetition attends besides

  Replay(CpuModel& model, const ModelSpec& spec, ReplayPrompt prompt, ReplayScore score);

  /// Tokens that a context of `tokens` tokens takes with its longest repetition.
  int64_t tokens_needed(int64_t tokens) const { return tokens + prompt_.repetition_tokens(tokens); }

  /// Logs of scores, [layers, kv_heads, tokens] of `layers` only. Throws RunError at the memory
  /// limit. tokens_needed() must not exceed the model's context.
  std::vector<float> run(std::span<const int32_t> context, ReplayLayers layers);
  /// Likewise of the tokens from `first` on of what `sequence` has read, `ids`; minus infinity for
  /// what it no longer holds, or its next token does not see through a sliding window. `length`: as
  /// of engine::Part.
  std::vector<float> repeat(const CpuSequence& sequence,
                            std::span<const int32_t> ids,
                            int64_t first,
                            int64_t length,
                            ReplayLayers layers);
  /// Attention's inputs of the last context, float32 [tokens, hidden], of one of its layers.
  std::span<const float> inputs(int64_t layer) const;

 private:
  struct Head {
    cache::StoredRows context;  // run()'s, a sliding window or not; else empty
    // Of the chunk under way.
    std::vector<int32_t> positions;  // of its entries
    std::vector<float> keys;       // of the first entries, the chunk's and the repetition's so far
    std::vector<int32_t> places;   // their positions
    int64_t sinks = 0;             // the first entries among them
    std::vector<float> size_logs;  // [group, entries] log |v W_O|, or empty
    std::vector<float> peaks;      // [group, entries]
  };
  struct Layer {
    std::vector<float> inputs;
    std::vector<Head> heads;
  };

  void begin(ReplayLayers layers);
  std::vector<float> repeat_chunks(const CpuSequence& sequence,
                                   std::span<const int32_t> ids,
                                   int64_t first,
                                   int64_t length);
  /// Of the chunk under way.
  std::vector<int32_t> repetition(std::span<const int32_t> ids, int64_t first) const;
  void begin_chunk();
  class Watching;
  Layer* layer_of(int64_t layer);
  void take_inputs(int64_t layer, std::span<const float> rows);
  void take_chunk(const cache::LayerChunk& chunk);
  void keep_context(const cache::LayerChunk& chunk,
                    int64_t index,
                    cache::StoredRows& context) const;
  cache::StoredRows rows(
      int64_t layer, int64_t index, int64_t begin, int64_t end, bool with_values) const;
  void take_sizes(std::span<const float> values, int64_t layer, int64_t head, Head& into);
  void raise_peaks(const cache::LayerChunk& chunk, int64_t index, Head& head) const;
  /// `scores`: [layers, kv_heads, count], of the tokens from `first` on.
  void finish_chunk(std::span<float> scores, int64_t first, int64_t count) const;
  std::span<const float> output_products(int64_t layer, int64_t q_head);

  CpuModel& model_;
  const ModelSpec& spec_;
  kernels::Alibi alibi_;
  ReplayPrompt prompt_;
  ReplayScore score_;
  std::vector<std::vector<float>> products_;  // [layers] of [q_heads, head_dim, head_dim]: W W^T

  ReplayLayers layers_;
  std::vector<Layer> state_;                       // of layers_
  std::unique_ptr<engine::SequenceState> branch_;  // reads the repetition under way
  int64_t tokens_ = 0;                             // before the repetition
  int64_t chunk_begin_ = 0;                        // of what is repeated
  int64_t chunk_end_ = 0;
  std::vector<float> offsets_;  // of the pass under way's tokens
};

}  // namespace dms::cpu
