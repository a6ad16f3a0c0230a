#pragma once
// The one decoder: a ModelSpec and its weights turned into logits, for any mix of prompts and
// single tokens of several sequences in one pass over the weights. Engine thread only.

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "cache/view.h"
#include "kernels/matmul.h"
#include "model/decoder_weights.h"
#include "model/rope_table.h"
#include "model/spec/model_spec.h"

namespace dms::model {

enum class LogitRows { none, last, all };

/// One sequence's next tokens.
struct Segment {
  cache::SequenceView* cache = nullptr;
  std::span<const int32_t> ids;
  LogitRows logits = LogitRows::last;
  int64_t prompt_tokens = 0;  // length of the sequence's first prompt (dynamic RoPE)
  int64_t ended_prompt = 0;   // the last id ends a prompt of so many; 0: it ends none
  bool decoded = false;       // tokens of an answer, or one that comes alone; else of a prompt
  // Each token's attention has the bits that it has in a pass of its own: a few tokens, none of
  // which seals a page.
  bool one_by_one = false;
};

struct Batch;

/// Which of a layer's products.
enum class LinearInput { qkv, attention_output, mlp_in, mlp_out };

/// Is shown what a product of a layer multiplies: float32 [tokens, columns].
using InputWatcher =
    std::function<void(int64_t layer, LinearInput input, std::span<const float> rows)>;

/// Is shown what each layer appends of each sequence, queries included.
using ChunkWatcher = std::function<void(const cache::LayerChunk& chunk)>;

/// Buffers of a pass, kept from call to call.
struct Workspace {
  std::vector<float> residual;  // [rows, hidden]
  std::vector<float> normed;    // [rows, hidden]
  std::vector<float> branch;    // [rows, hidden] what a sub-layer adds, only where it has a norm
  std::vector<float> qkv;       // [rows, (q_heads + 2 kv_heads) * head_dim]
  std::vector<float> q_far;     // the same, only where a policy shifts positions
  std::vector<float> attended;  // [rows, q_heads * head_dim]
  std::vector<float> mlp;       // [rows, ffn]
  std::vector<float> alpha;     // [rows, kv_heads] decision logits, or KVzap's scores
  std::vector<float> embedded;  // [rows, embedding_dim], only where it is not hidden
};

class Decoder {
 public:
  Decoder(ModelSpec spec, DecoderWeights weights, kernels::Compute compute);

  const ModelSpec& spec() const { return spec_; }
  const DecoderWeights& weights() const { return weights_; }

  /// Appends every segment's ids to its cache and returns the requested logits rows, float32
  /// [rows, vocab] in the order of segments and tokens, valid until the next call.
  std::span<const float> forward(std::span<const Segment> segments);

  /// From the next pass on; empty: nobody watches.
  void watch(InputWatcher watcher) { watcher_ = std::move(watcher); }
  void watch_chunks(ChunkWatcher watcher) { chunk_watcher_ = std::move(watcher); }

  /// Seconds spent in attention since construction.
  double attention_seconds() const { return attention_seconds_; }

 private:
  /// Values of a row-wise step that are worth another thread's attention.
  static constexpr int64_t kGrainValues = 1 << 14;

  void prepare(const Batch& batch);
  void prepare_rope(const Batch& batch);
  void embed(const Batch& batch);
  void project_embeddings(const Batch& batch);
  void add_positions(const Batch& batch);
  void show(const LayerWeights& weights, LinearInput input, std::span<const float> rows) const;
  void run_layer(int64_t layer, const Batch& batch);
  std::span<float> residual(const Batch& batch);
  std::span<const float> sublayer_input(const NormWeights& norm, const Batch& batch);
  void add_to_residual(const LinearWeights& weights,
                       std::span<const float> x,
                       const NormWeights& post_norm,
                       const Batch& batch);
  void finish_sublayer(const NormWeights& norm, const Batch& batch);
  std::span<const float> project_qkv(const LayerWeights& weights, const Batch& batch);
  void compute_alpha(const LayerWeights& weights, const Batch& batch);
  void decide_exactly(const LayerWeights& weights,
                      std::span<const float> input,
                      const Batch& batch);
  void clip_qkv(const Batch& batch);
  void norm_heads(std::span<const float> weight, std::span<float> heads) const;
  float& borrowed_channel(std::span<float> q, int64_t kv_head) const;
  void zero_borrowed_channels(std::span<float> q) const;
  void take_borrowed_channels(std::span<float> q, int64_t row);
  const RopeTable* rope_at(int64_t layer) const;
  void rotate_row(int64_t layer, const Batch& batch, int64_t row);
  void append_to_caches(int64_t layer,
                        const Batch& batch,
                        const cache::ValueProjection& projection);
  void attend(int64_t layer, const LayerWeights& weights, const Batch& batch);
  void run_mlp(const LayerWeights& weights, std::span<const float> input, const Batch& batch);
  void normalise(const NormWeights& weights, std::span<const float> x, std::span<float> out) const;
  std::span<const float> project_head(const Batch& batch);
  std::span<const float> head_input(const Batch& batch);

  ModelSpec spec_;
  DecoderWeights weights_;
  kernels::Compute compute_;
  RopeTable rope_;
  RopeTable local_rope_;  // of layers with a sliding window, where they turn otherwise
  Workspace work_;
  std::vector<float> head_rows_;       // [logit rows, hidden]
  std::vector<float> projected_rows_;  // [logit rows, embedding_dim], only where it is not hidden
  std::vector<float> logits_;          // [logit rows, vocab]
  double attention_seconds_ = 0;
  InputWatcher watcher_;
  ChunkWatcher chunk_watcher_;
};

}  // namespace dms::model
