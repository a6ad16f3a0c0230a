#pragma once
// One pass of the decoder over the rows of a step, as launches on a stream: no allocation, no
// waiting, nothing of the host's but what was copied before. Order of operations: the CPU's
// (model/decoder.cpp).

#include <cstdint>
#include <span>
#include <vector>

#include "cuda/kernels/decode_attention.h"
#include "cuda/kernels/matmul.h"
#include "cuda/kernels/norm.h"
#include "cuda/kernels/prefill_attention.h"
#include "cuda/kernels/qkv.h"
#include "cuda/memory.h"
#include "cuda/slot_bank.h"
#include "cuda/weights.h"

namespace dms::cuda {

/// Whether fates come about alike, but for the logits of a step.
inline bool is_one_rule(const FateParams& a, const FateParams& b) {
  return a.rule == b.rule && a.shift == b.shift && a.sinks == b.sinks &&
         a.threshold == b.threshold && a.keep == b.keep && a.seed == b.seed &&
         a.per_layer == b.per_layer;
}

/// A prompt's tokens of a step.
struct PromptChunk {
  int32_t slot = 0;
  int32_t first_row = 0;
  int32_t count = 0;
  int32_t first = 0;  // position of the first token
  int32_t window = 0;
  int32_t old_sealed_end = 0;
  int32_t sealed_end = 0;
};

/// What a step computes: rows of sequences of one bank whose fates come about by one rule.
struct StepWork {
  SlotBank* bank = nullptr;
  FateParams fate{};
  bool needs_logits = false;  // FateParams::logits
  int32_t decode_rows = 0;
  std::vector<int32_t> tokens{};     // [rows]
  std::vector<int32_t> positions{};  // [rows]
  std::vector<int32_t> slots{};      // [rows]
  std::vector<PromptChunk> prompts{};
  std::vector<int32_t> wanted{};  // rows whose logits are wanted

  int32_t rows() const { return static_cast<int32_t>(tokens.size()); }
};

struct StepLimits {
  int32_t rows = 0;              // of a step
  int32_t decode_rows = 0;       // of them
  int32_t logit_rows = 0;        // that the head computes at a time
  int32_t attention_blocks = 0;  // of rows that decode; 0: those that fill the device
};

class Step {
 public:
  /// References outlive it. `attend_prompt`: prefill_attention(), or the device's better one.
  Step(const ModelSpec& spec,
       const DeviceWeights& weights,
       Matmul& matmul,
       AttendPrompt attend_prompt,
       const StepLimits& limits,
       const Stream& stream);

  const StepLimits& limits() const { return limits_; }

  /// Room for `work`, and its rows on their way to the device. Nothing may be under way there.
  void prepare(const StepWork& work);
  /// Computes what was prepared, but for the head.
  void run(const StepWork& work);
  /// Logits of the wanted rows [first, first + count), up to limits().logit_rows of them:
  /// logits() then has them, [count, vocab].
  void run_head(int32_t first, int32_t count);

  /// Where rows are read from: those of the next step, for who makes them on the device.
  int32_t* device_tokens() const { return rows_.at<int32_t>(); }
  int32_t* device_positions() const { return rows_.at<int32_t>() + limits_.rows; }
  float* logits() const { return logits_.at<float>(); }

 private:
  enum RowField { kTokens, kPositions, kSlots, kWanted, kRowFields };

  void make_decision_bias();
  bool is_neuron() const { return spec_.dms && spec_.dms->source == DmsSource::neuron; }
  RowView rows(const StepWork& work) const;
  const int32_t* row_field(RowField field) const {
    return rows_.at<int32_t>() + static_cast<int64_t>(field) * limits_.rows;
  }
  DecodeAttentionParams decode_params(const StepWork& work) const;
  PrefillAttentionParams prompt_params(const StepWork& work, const PromptChunk& prompt) const;
  void begin(const StepWork& work);
  void run_layer(const StepWork& work, int32_t layer);
  const float* decide(const StepWork& work, int32_t layer);
  void run_adapter(const StepWork& work, const DeviceLayer& layer);
  void run_scores(const StepWork& work, const DeviceKvzap& kvzap);
  void run_logits(const StepWork& work, DecisionLogitParams params);
  void project_qkv(const StepWork& work, int32_t layer, const float* logits);
  void attend(const StepWork& work, int32_t layer);
  void run_mlp(const StepWork& work, const DeviceLayer& layer);
  void finish(const StepWork& work);
  void norm_rows(const DeviceNorm& weights, const float* x, int32_t rows, float* out_f32);
  void multiply(const MatmulParams& params, const char* what);
  void add_to_residual(const DeviceLinear& weights, const __nv_bfloat16* x, int32_t rows);

  const ModelSpec& spec_;
  const DeviceWeights& weights_;
  Matmul& matmul_;
  AttendPrompt attend_prompt_;
  StepLimits limits_;
  cudaStream_t stream_;
  int32_t blocks_ = 0;      // of decode attention
  PinnedBuffer host_rows_;  // [kRowFields, limits.rows]
  DeviceBuffer rows_;
  DeviceBuffer angles_;         // rope_angles()
  DeviceBuffer decision_bias_;  // float32 [layers, kv_heads], or empty: of `neuron` channels
  DeviceBuffer residual_;       // float32 [rows, hidden]
  DeviceBuffer normed_;         // bf16 [rows, hidden]
  DeviceBuffer normed_f32_;     // float32 [rows, hidden], where decisions are made from it
  DeviceBuffer qkv_;            // float32 [rows, (q_heads + 2 kv_heads) * head_dim]
  DeviceBuffer queries_;        // bf16 [rows, q_heads, head_dim]
  DeviceBuffer keys_;           // bf16 [rows, kv_heads, head_dim], of prompts
  DeviceBuffer values_;         // likewise
  DeviceBuffer attended_;       // bf16 [rows, q_heads, head_dim]
  DeviceBuffer mlp_in_;         // bf16 [rows, 2 * ffn or ffn]
  DeviceBuffer mlp_;            // bf16 [rows, ffn]
  DeviceBuffer alpha_;          // float32 [rows, kv_heads]
  DeviceBuffer alpha_hidden_;   // float32 [rows, KVzap's width]
  DeviceBuffer pieces_;         // DecodePlan
  DeviceBuffer piece_counts_;
  DeviceBuffer first_pieces_;
  DeviceBuffer partial_;
  DeviceBuffer partial_sums_;
  DeviceBuffer head_rows_;  // float32 [logit_rows, hidden]
  DeviceBuffer logits_;     // float32 [logit_rows, vocab]
  DeviceBuffer workspace_;  // of prompts' attention, grown where it is needed
};

}  // namespace dms::cuda
