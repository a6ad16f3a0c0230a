#include "cuda/step.h"

#include <algorithm>

#include "base/check.h"
#include "cuda/kernels/activation.h"
#include "cuda/kernels/bias.h"
#include "cuda/kernels/seal.h"
#include "cuda/rope_angles.h"

namespace dms::cuda {
namespace {

constexpr const char* kStepBuffers = "a step's intermediate values";

ActivationKind kind_of(Activation activation) {
  switch (activation) {
    case Activation::silu:
      return ActivationKind::silu;
    case Activation::gelu:
      return ActivationKind::gelu;
    case Activation::gelu_tanh:
      return ActivationKind::gelu_tanh;
    case Activation::relu:
      break;
  }
  return ActivationKind::relu;
}

template <class T>
DeviceBuffer buffer(int64_t count) {
  return DeviceBuffer(static_cast<size_t>(count) * sizeof(T), kStepBuffers);
}

int32_t narrow(int64_t value) { return static_cast<int32_t>(value); }

}  // namespace

Step::Step(const ModelSpec& spec,
           const DeviceWeights& weights,
           Matmul& matmul,
           AttendPrompt attend_prompt,
           const StepLimits& limits,
           const Stream& stream)
    : spec_(spec),
      weights_(weights),
      matmul_(matmul),
      attend_prompt_(attend_prompt),
      limits_(limits),
      stream_(stream.get()) {
  const int64_t rows = limits.rows;
  const int64_t group_values = spec.group() * spec.head_dim;
  const size_t row_bytes = static_cast<size_t>(rows) * kRowFields * sizeof(int32_t);
  host_rows_ = PinnedBuffer(row_bytes, kStepBuffers);
  rows_ = DeviceBuffer(row_bytes, kStepBuffers);
  residual_ = buffer<float>(rows * spec.hidden);
  normed_ = buffer<__nv_bfloat16>(rows * spec.hidden);
  normed_f32_ = buffer<float>(rows * spec.hidden);
  angles_ = rope_angles(spec);
  make_decision_bias();
  qkv_ = buffer<float>(rows * (spec.q_heads + 2 * spec.kv_heads) * spec.head_dim);
  queries_ = buffer<__nv_bfloat16>(rows * spec.q_heads * spec.head_dim);
  keys_ = buffer<__nv_bfloat16>(rows * spec.kv_heads * spec.head_dim);
  values_ = buffer<__nv_bfloat16>(rows * spec.kv_heads * spec.head_dim);
  attended_ = buffer<__nv_bfloat16>(rows * spec.q_heads * spec.head_dim);
  mlp_in_ = buffer<__nv_bfloat16>(rows * weights.layers.front().mlp_in.matrix.rows);
  mlp_ = buffer<__nv_bfloat16>(rows * spec.ffn);
  alpha_ = buffer<float>(rows * spec.kv_heads);
  alpha_hidden_ = buffer<float>(rows * (spec.kvzap ? spec.kvzap->hidden : 0));
  head_rows_ = buffer<float>(int64_t{limits.logit_rows} * spec.hidden);
  logits_ = buffer<float>(int64_t{limits.logit_rows} * spec.vocab);

  DecodeAttentionParams params{.q_heads = narrow(spec.q_heads)};
  params.cache.layers = narrow(spec.layers);
  params.cache.kv_heads = narrow(spec.kv_heads);
  params.cache.head_dim = narrow(spec.head_dim);
  blocks_ = limits.attention_blocks;
  if (blocks_ == 0) check(decode_blocks(params, blocks_), "asking how many blocks fill the device");
  const int64_t most = most_pieces(limits.decode_rows, narrow(spec.kv_heads), blocks_);
  pieces_ = buffer<AttentionPiece>(spec.layers * most);
  piece_counts_ = buffer<int32_t>(spec.layers);
  first_pieces_ = buffer<int32_t>(spec.layers * (limits.decode_rows * spec.kv_heads + 1));
  partial_ = buffer<float>(most * group_values);
  partial_sums_ = buffer<float2>(most * spec.group());
}

void Step::prepare(const StepWork& work) {
  ensure(work.rows() <= limits_.rows && work.decode_rows <= limits_.decode_rows,
         "room for the rows");
  int32_t* field = host_rows_.at<int32_t>();
  for (const std::vector<int32_t>* values :
       {&work.tokens, &work.positions, &work.slots, &work.wanted}) {
    std::ranges::copy(*values, field);
    field += limits_.rows;
  }
  check(cudaMemcpyAsync(
            rows_.data(), host_rows_.data(), rows_.bytes(), cudaMemcpyHostToDevice, stream_),
        "giving the device a step's rows");
  int64_t workspace = 0;
  for (const PromptChunk& prompt : work.prompts) {
    workspace = std::max(workspace, prefill_workspace_bytes(prompt_params(work, prompt)));
  }
  if (workspace > static_cast<int64_t>(workspace_.bytes())) {
    workspace_ = {};  // before, so that there is never room for both
    workspace_ = DeviceBuffer(static_cast<size_t>(workspace), "a prompt's attention");
  }
}

RowView Step::rows(const StepWork& work) const {
  return {.rows = work.rows(),
          .decode_rows = work.decode_rows,
          .tokens = row_field(kTokens),
          .positions = row_field(kPositions),
          .slots = row_field(kSlots)};
}

DecodeAttentionParams Step::decode_params(const StepWork& work) const {
  return {.cache = work.bank->cache(),
          .slots = work.bank->slots(),
          .rows = rows(work),
          .plan = {.pieces = pieces_.at<AttentionPiece>(),
                   .piece_count = piece_counts_.at<int32_t>(),
                   .first_piece = first_pieces_.at<int32_t>(),
                   .max_pieces = most_pieces(limits_.decode_rows, narrow(spec_.kv_heads), blocks_)},
          .q_heads = narrow(spec_.q_heads),
          .blocks = blocks_,
          .queries = queries_.at<__nv_bfloat16>(),
          .partial = partial_.at<float>(),
          .partial_sums = partial_sums_.at<float2>(),
          .out = attended_.at<__nv_bfloat16>()};
}

PrefillAttentionParams Step::prompt_params(const StepWork& work, const PromptChunk& prompt) const {
  const int64_t q_at = prompt.first_row * spec_.q_heads * spec_.head_dim;
  const int64_t kv_at = (prompt.first_row - work.decode_rows) * spec_.kv_heads * spec_.head_dim;
  return {.cache = work.bank->cache(),
          .slot = prompt.slot,
          .q_heads = narrow(spec_.q_heads),
          .window = prompt.window,
          .sealed_end = prompt.old_sealed_end,
          .first = prompt.first,
          .count = prompt.count,
          .queries = queries_.at<__nv_bfloat16>() + q_at,
          .keys = keys_.at<__nv_bfloat16>() + kv_at,
          .values = values_.at<__nv_bfloat16>() + kv_at,
          .out = attended_.at<__nv_bfloat16>() + q_at,
          .workspace = workspace_.data()};
}

void Step::multiply(const MatmulParams& params, const char* what) {
  check(matmul_.run(params, stream_), what);
}

void Step::add_to_residual(const DeviceLinear& weights, const __nv_bfloat16* x, int32_t rows) {
  float* residual = residual_.at<float>();
  multiply({.weights = weights.matrix, .x = x, .out = residual, .accumulate = true, .rows = rows},
           "a product onto the residual");
  if (weights.bias == nullptr) return;
  check(
      add_bias({.bias = weights.bias, .out = residual, .rows = rows, .width = narrow(spec_.hidden)},
               stream_),
      "a bias");
}

void Step::norm_rows(const DeviceNorm& weights, const float* x, int32_t rows, float* out_f32) {
  check(norm({.kind = spec_.norm == dms::NormKind::rms ? NormKind::rms : NormKind::layer,
              .x = x,
              .scale = weights.scale,
              .bias = weights.bias,
              .out = normed_.at<__nv_bfloat16>(),
              .out_f32 = out_f32,
              .rows = rows,
              .width = narrow(spec_.hidden),
              .eps = static_cast<float>(spec_.norm_eps)},
             stream_),
        "a norm");
}

void Step::run(const StepWork& work) {
  begin(work);
  for (int32_t layer = 0; layer < spec_.layers; ++layer) run_layer(work, layer);
  finish(work);
}

void Step::begin(const StepWork& work) {
  if (work.decode_rows > 0) {
    check(
        seal_windows({.cache = work.bank->cache(), .slots = work.bank->slots(), .rows = rows(work)},
                     stream_),
        "sealing windows");
    check(plan_decode(decode_params(work), stream_), "planning attention");
  }
  check(embed({.table = weights_.embedding_table(),
               .tokens = row_field(kTokens),
               .out = residual_.at<float>(),
               .rows = work.rows(),
               .width = narrow(spec_.hidden),
               .scale = static_cast<float>(spec_.embedding_scale)},
              stream_),
        "looking embeddings up");
}

void Step::project_qkv(const StepWork& work, int32_t index, const float* logits) {
  const DeviceLayer& layer = weights_.layers[static_cast<size_t>(index)];
  multiply({.weights = layer.qkv.matrix,
            .x = normed_.at<__nv_bfloat16>(),
            .out = qkv_.at<float>(),
            .rows = work.rows()},
           "the QKV product");
  const RopeSpec* rope = spec_.rope_at(index);
  QkvParams params{.qkv = qkv_.at<float>(),
                   .bias = layer.qkv.bias,
                   .q_norm = layer.q_norm,
                   .k_norm = layer.k_norm,
                   .norm_eps = static_cast<float>(spec_.norm_eps),
                   .angles = rope == nullptr ? nullptr : angles_.at<float2>(),
                   .rotary_dim = rope == nullptr ? 0 : narrow(rope->rotary_dim),
                   .q_heads = narrow(spec_.q_heads),
                   .layer = index,
                   .query_scale = spec_.query_scale(),
                   .neuron = is_neuron(),
                   .neuron_logits = is_neuron() ? logits : nullptr,
                   .fate = work.fate,
                   .rows = rows(work),
                   .slots = work.bank->slots(),
                   .cache = work.bank->cache(),
                   .queries = queries_.at<__nv_bfloat16>(),
                   .chunk_keys = keys_.at<__nv_bfloat16>(),
                   .chunk_values = values_.at<__nv_bfloat16>()};
  if (is_neuron()) {
    params.zero_after_rope = spec_.dms->zero_after_rope;
    params.alpha_scale = static_cast<float>(spec_.dms->alpha_scale);
    params.alpha_offset = static_cast<float>(spec_.dms->alpha_offset);
  } else {
    params.fate.logits = logits;
  }
  check(finish_qkv(params, stream_), "finishing Q, K and V");
}

void Step::attend(const StepWork& work, int32_t layer) {
  if (work.decode_rows > 0) {
    DecodeAttentionParams params = decode_params(work);
    params.layer = layer;
    check(decode_attention(params, stream_), "attention");
  }
  for (const PromptChunk& prompt : work.prompts) {
    PrefillAttentionParams params = prompt_params(work, prompt);
    params.layer = layer;
    check(attend_prompt_(params, stream_), "a prompt's attention");
    check(seal_chunk({.cache = params.cache,
                      .slot = prompt.slot,
                      .layer = layer,
                      .old_sealed_end = prompt.old_sealed_end,
                      .sealed_end = prompt.sealed_end,
                      .first = prompt.first,
                      .count = prompt.count,
                      .keys = params.keys,
                      .values = params.values},
                     stream_),
          "sealing a prompt's chunk");
  }
}

void Step::run_layer(const StepWork& work, int32_t index) {
  const DeviceLayer& layer = weights_.layers[static_cast<size_t>(index)];
  project_qkv(work, index, decide(work, index));
  attend(work, index);
  // normed_ is free again; side by side both branches read the same residual.
  const auto norm_mlp = [&] {
    norm_rows(layer.mlp_norm, residual_.at<float>(), work.rows(), nullptr);
  };
  if (spec_.parallel_residual && !spec_.shared_norm) norm_mlp();
  add_to_residual(layer.attention_output, attended_.at<__nv_bfloat16>(), work.rows());
  if (!spec_.parallel_residual) norm_mlp();
  run_mlp(work, layer);
}

void Step::run_mlp(const StepWork& work, const DeviceLayer& layer) {
  multiply({.weights = layer.mlp_in.matrix,
            .x = normed_.at<__nv_bfloat16>(),
            .out_bf16 = mlp_in_.at<__nv_bfloat16>(),
            .rows = work.rows()},
           "the MLP's first product");
  check(activate({.kind = kind_of(spec_.activation),
                  .gated = spec_.gated_mlp,
                  .x = mlp_in_.at<__nv_bfloat16>(),
                  .bias = layer.mlp_in.bias,
                  .out = mlp_.at<__nv_bfloat16>(),
                  .rows = work.rows(),
                  .width = narrow(spec_.ffn)},
                 stream_),
        "the MLP's activation");
  add_to_residual(layer.mlp_out, mlp_.at<__nv_bfloat16>(), work.rows());
}

void Step::finish(const StepWork& work) {
  check(
      finish_decode({.cache = work.bank->cache(), .slots = work.bank->slots(), .rows = rows(work)},
                    stream_),
      "ending a step");
  for (const PromptChunk& prompt : work.prompts) {
    check(finish_chunk(work.bank->slots(),
                       prompt.slot,
                       prompt.first + prompt.count,
                       prompt.sealed_end,
                       stream_),
          "ending a step");
  }
}

void Step::run_head(int32_t first, int32_t count) {
  check(gather_rows({.x = residual_.at<float>(),
                     .row_of = row_field(kWanted) + first,
                     .out = head_rows_.at<float>(),
                     .rows = count,
                     .width = narrow(spec_.hidden)},
                    stream_),
        "gathering rows");
  norm_rows(weights_.final_norm, head_rows_.at<float>(), count, nullptr);
  multiply(
      {.weights = weights_.head, .x = normed_.at<__nv_bfloat16>(), .out = logits(), .rows = count},
      "the head's product");
}

}  // namespace dms::cuda
