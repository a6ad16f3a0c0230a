#include "model/decoder.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "base/check.h"
#include "base/parallel.h"
#include "kernels/elementwise.h"
#include "kernels/norm.h"
#include "kernels/rope.h"
#include "model/attention.h"
#include "model/batch.h"
#include "model/kvzap_scores.h"
#include "model/output_of_values.h"

namespace dms::model {
namespace {

using kernels::Epilogue;

Epilogue gate_epilogue(Activation activation) {
  switch (activation) {
    case Activation::silu:
      return Epilogue::silu_gate;
    case Activation::gelu:
      return Epilogue::gelu_gate;
    case Activation::gelu_tanh:
      return Epilogue::gelu_tanh_gate;
    case Activation::relu:
      return Epilogue::relu_gate;
  }
  return Epilogue::store;
}

kernels::UnaryOp unary_op(Activation activation) {
  switch (activation) {
    case Activation::silu:
      return kernels::UnaryOp::silu;
    case Activation::gelu:
      return kernels::UnaryOp::gelu;
    case Activation::gelu_tanh:
      return kernels::UnaryOp::gelu_tanh;
    case Activation::relu:
      return kernels::UnaryOp::relu;
  }
  return kernels::UnaryOp::relu;
}

void grow(std::vector<float>& buffer, int64_t count) {
  if (std::ssize(buffer) < count) buffer.resize(static_cast<size_t>(count));
}

}  // namespace

Decoder::Decoder(ModelSpec spec, DecoderWeights weights, kernels::Compute compute)
    : spec_(std::move(spec)),
      weights_(std::move(weights)),
      compute_(compute),
      rope_(spec_.rope),
      local_rope_(spec_.local_rope.value_or(RopeSpec())) {}

void Decoder::show(const LayerWeights& weights,
                   LinearInput input,
                   std::span<const float> rows) const {
  if (watcher_) watcher_(&weights - weights_.layers.data(), input, rows);
}

void Decoder::normalise(const NormWeights& weights,
                        std::span<const float> x,
                        std::span<float> out) const {
  const auto eps = static_cast<float>(spec_.norm_eps);
  if (spec_.norm == NormKind::rms) {
    kernels::rms_norm(x, weights.scale, eps, out);
  } else {
    kernels::layer_norm(x, weights.scale, weights.bias, eps, out);
  }
}

std::span<float> Decoder::residual(const Batch& batch) {
  return std::span(work_.residual).first(static_cast<size_t>(batch.rows * spec_.hidden));
}

/// What a sub-layer multiplies first; valid until the next call.
std::span<const float> Decoder::sublayer_input(const NormWeights& norm, const Batch& batch) {
  if (spec_.norm_after) return residual(batch);
  const std::span<float> normed =
      std::span(work_.normed).first(static_cast<size_t>(batch.rows * spec_.hidden));
  normalise(norm, residual(batch), normed);
  return normed;
}

/// Adds the sub-layer's last product, normed where `post_norm` is not empty.
void Decoder::add_to_residual(const LinearWeights& weights,
                              std::span<const float> x,
                              const NormWeights& post_norm,
                              const Batch& batch) {
  const bool is_plain = post_norm.scale.empty();
  const std::span<float> sum = residual(batch);
  if (!is_plain) grow(work_.branch, std::ssize(sum));
  const std::span<float> branch =
      is_plain ? std::span<float>() : std::span(work_.branch).first(sum.size());
  kernels::matmul({.weights = weights.matrix,
                   .x = x,
                   .out = is_plain ? sum : branch,
                   .bias = weights.bias,
                   .rows = batch.rows,
                   .out_columns = spec_.hidden,
                   .compute = compute_,
                   .epilogue = is_plain ? Epilogue::accumulate : Epilogue::store});
  if (is_plain) return;
  normalise(post_norm, branch, branch);
  parallel_for(batch.rows, ceil_div(kGrainValues, spec_.hidden), [&](int64_t row) {
    const auto end = static_cast<size_t>((row + 1) * spec_.hidden);
    for (auto i = static_cast<size_t>(row * spec_.hidden); i < end; ++i) sum[i] += branch[i];
  });
}

void Decoder::finish_sublayer(const NormWeights& norm, const Batch& batch) {
  if (spec_.norm_after) normalise(norm, residual(batch), residual(batch));
}

/// Returns what it multiplied, which stays valid until the next sublayer_input().
std::span<const float> Decoder::project_qkv(const LayerWeights& weights, const Batch& batch) {
  const std::span<const float> input = sublayer_input(weights.attention_norm, batch);
  show(weights, LinearInput::qkv, input);
  if (batch.needs_decision_logits && spec_.kvzap) {
    kvzap_scores(weights.kvzap, input, batch.rows, work_.alpha);
  }
  const int64_t width = qkv_width(spec_);
  kernels::matmul({.weights = weights.qkv.matrix,
                   .x = input,
                   .out = std::span(work_.qkv).first(static_cast<size_t>(batch.rows * width)),
                   .bias = weights.qkv.bias,
                   .rows = batch.rows,
                   .out_columns = width,
                   .compute = compute_});
  if (!weights.decision_rows.empty()) decide_exactly(weights, input, batch);
  if (spec_.qkv_clip > 0.0) clip_qkv(batch);
  return input;
}

void Decoder::clip_qkv(const Batch& batch) {
  const auto limit = static_cast<float>(spec_.qkv_clip);
  const auto width = static_cast<size_t>(qkv_width(spec_));
  parallel_for(batch.rows, ceil_div(kGrainValues, qkv_width(spec_)), [&](int64_t row) {
    const auto values = std::span(work_.qkv).subspan(static_cast<size_t>(row) * width, width);
    for (float& value : values) value = std::clamp(value, -limit, limit);
  });
}

/// Decision logits of the adapter (semantics.md section 1), in float32 with a fixed order of
/// summation, so that no chunking or batch can flip a decision.
void Decoder::compute_alpha(const LayerWeights& weights, const Batch& batch) {
  const auto hidden = static_cast<size_t>(spec_.hidden);
  const auto scale = static_cast<float>(spec_.dms->alpha_scale);
  const auto offset = static_cast<float>(spec_.dms->alpha_offset);
  parallel_for(batch.rows, ceil_div(kGrainValues, spec_.hidden), [&](int64_t row) {
    const size_t at = static_cast<size_t>(row) * hidden;
    const std::span<float> normed = std::span(work_.normed).subspan(at, hidden);
    kernels::rms_norm(std::span(work_.residual).subspan(at, hidden),
                      weights.alpha_norm,
                      static_cast<float>(spec_.norm_eps),
                      normed);
    for (int64_t head = 0; head < spec_.kv_heads; ++head) {
      float raw = kernels::dot_fixed_order(
          normed, std::span(weights.alpha).subspan(static_cast<size_t>(head) * hidden, hidden));
      if (!weights.alpha_bias.empty()) raw += weights.alpha_bias[static_cast<size_t>(head)];
      work_.alpha[static_cast<size_t>(row * spec_.kv_heads + head)] = raw * scale - offset;
    }
  });
}

float& Decoder::borrowed_channel(std::span<float> q, int64_t kv_head) const {
  return q[static_cast<size_t>(model::borrowed_channel(spec_, kv_head))];
}

/// What decides eviction is not computed from quantised weights.
void Decoder::decide_exactly(const LayerWeights& weights,
                             std::span<const float> input,
                             const Batch& batch) {
  const auto hidden = static_cast<size_t>(spec_.hidden);
  const int64_t width = qkv_width(spec_);
  parallel_for(batch.rows, ceil_div(kGrainValues, spec_.hidden), [&](int64_t row) {
    const std::span<const float> x = input.subspan(static_cast<size_t>(row) * hidden, hidden);
    for (int64_t head = 0; head < spec_.kv_heads; ++head) {
      const int64_t channel = model::borrowed_channel(spec_, head);
      const auto at = static_cast<size_t>(head) * hidden;
      float logit =
          kernels::dot_fixed_order(x, std::span(weights.decision_rows).subspan(at, hidden));
      if (!weights.qkv.bias.empty()) logit += weights.qkv.bias[static_cast<size_t>(channel)];
      work_.qkv[static_cast<size_t>(row * width + channel)] = logit;
    }
  });
}

void Decoder::zero_borrowed_channels(std::span<float> q) const {
  for (int64_t head = 0; head < spec_.kv_heads; ++head) borrowed_channel(q, head) = 0.0f;
}

/// Decision logits of `neuron` (semantics.md section 1): after QK norm, before RoPE.
void Decoder::take_borrowed_channels(std::span<float> q, int64_t row) {
  for (int64_t head = 0; head < spec_.kv_heads; ++head) {
    work_.alpha[static_cast<size_t>(row * spec_.kv_heads + head)] =
        borrowed_channel(q, head) * static_cast<float>(spec_.dms->alpha_scale) -
        static_cast<float>(spec_.dms->alpha_offset);
  }
  zero_borrowed_channels(q);
}

/// How the layer's heads turn; null: they do not.
const RopeTable* Decoder::rope_at(int64_t layer) const {
  const RopeSpec* rope = spec_.rope_at(layer);
  if (rope == nullptr) return nullptr;
  return rope == &spec_.rope ? &rope_ : &local_rope_;
}

void Decoder::norm_heads(std::span<const float> weight, std::span<float> heads) const {
  const auto eps = static_cast<float>(spec_.norm_eps);
  if (spec_.qk_norm) kernels::rms_norm(heads, weight, eps, heads);
  if (spec_.qk_norm_whole) kernels::layer_norm(heads, weight, {}, eps, heads);
}

/// QK norm, the borrowed channels and RoPE, for one token's heads.
void Decoder::rotate_row(int64_t layer, const Batch& batch, int64_t row) {
  const auto q_values = static_cast<size_t>(spec_.q_heads * spec_.head_dim);
  const auto k_values = static_cast<size_t>(spec_.kv_heads * spec_.head_dim);
  const auto at = static_cast<size_t>(row * qkv_width(spec_));
  const std::span<float> q = std::span(work_.qkv).subspan(at, q_values);
  const std::span<float> k = std::span(work_.qkv).subspan(at + q_values, k_values);
  norm_heads(batch.layer_weights->q_norm, q);
  norm_heads(batch.layer_weights->k_norm, k);
  const bool is_neuron = spec_.dms && spec_.dms->source == DmsSource::neuron;
  if (is_neuron) take_borrowed_channels(q, row);

  const Segment& segment = *batch.row_segment[static_cast<size_t>(row)];
  const RopeTable* rope = rope_at(layer);
  const auto turn = [&](std::span<float> heads, int64_t position) {
    if (rope == nullptr) return;
    const RopeTable::Angles angles = rope->at(segment.prompt_tokens, position);
    kernels::rope(heads, spec_.head_dim, angles.cos, angles.sin);
  };
  const auto turn_queries = [&](std::span<float> queries, int64_t position) {
    turn(queries, position);
    if (is_neuron && spec_.dms->zero_after_rope) zero_borrowed_channels(queries);
  };
  const int64_t position = batch.row_position[static_cast<size_t>(row)];
  if (const std::optional<int64_t> far = segment.cache->policy().far_position(position)) {
    const std::span<float> q_far = std::span(work_.q_far).subspan(at, q_values);
    std::ranges::copy(q, q_far.begin());
    turn_queries(q_far, *far);
  }
  turn_queries(q, position);
  turn(k, position);
}

void Decoder::append_to_caches(int64_t layer,
                               const Batch& batch,
                               const cache::ValueProjection& projection) {
  const int64_t width = qkv_width(spec_);
  const int64_t q_values = spec_.q_heads * spec_.head_dim;
  const int64_t kv_values = spec_.kv_heads * spec_.head_dim;
  for (const BatchSegment& part : batch.segments) {
    const std::span<const float> qkv = std::span(work_.qkv).subspan(
        static_cast<size_t>(part.first_row * width), static_cast<size_t>(part.rows * width));
    const std::span<const float> alpha =
        std::span(work_.alpha)
            .subspan(static_cast<size_t>(part.first_row * spec_.kv_heads),
                     static_cast<size_t>(part.rows * spec_.kv_heads));
    const cache::LayerChunk chunk{.layer = layer,
                                  .count = part.rows,
                                  .keys = qkv.subspan(static_cast<size_t>(q_values)),
                                  .values = qkv.subspan(static_cast<size_t>(q_values + kv_values)),
                                  .token_stride = width,
                                  .logits = alpha,
                                  .queries = qkv,
                                  .ended_prompt = part.segment->ended_prompt,
                                  .decoded = part.segment->decoded,
                                  .rope_length = part.segment->prompt_tokens,
                                  .projection = &projection};
    if (chunk_watcher_) chunk_watcher_(chunk);
    part.segment->cache->append(chunk);
  }
}

void Decoder::attend(int64_t layer, const LayerWeights& weights, const Batch& batch) {
  const OutputOfValues projection(spec_, weights.attention_output.matrix);
  append_to_caches(layer, batch, projection);
  const auto start = std::chrono::steady_clock::now();
  run_attention(spec_, layer, batch, work_);
  attention_seconds_ +=
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  for (const BatchSegment& part : batch.segments) part.segment->cache->finish_layer(layer);
}

void Decoder::run_mlp(const LayerWeights& weights,
                      std::span<const float> input,
                      const Batch& batch) {
  const std::span<float> mlp =
      std::span(work_.mlp).first(static_cast<size_t>(batch.rows * spec_.ffn));
  show(weights, LinearInput::mlp_in, input);
  kernels::matmul(
      {.weights = weights.mlp_in.matrix,
       .x = input,
       .out = mlp,
       .bias = weights.mlp_in.bias,
       .rows = batch.rows,
       .out_columns = spec_.ffn,
       .compute = compute_,
       .epilogue = spec_.gated_mlp ? gate_epilogue(spec_.activation) : Epilogue::store});
  if (!spec_.gated_mlp) kernels::apply(unary_op(spec_.activation), mlp);
  show(weights, LinearInput::mlp_out, mlp);
  add_to_residual(weights.mlp_out, mlp, weights.mlp_post_norm, batch);
}

void Decoder::run_layer(int64_t layer, const Batch& batch) {
  const LayerWeights& weights = *batch.layer_weights;
  if (batch.needs_decision_logits && spec_.dms && spec_.dms->source == DmsSource::adapter) {
    compute_alpha(weights, batch);
  }
  std::span<const float> input = project_qkv(weights, batch);
  parallel_for(batch.rows, ceil_div(kGrainValues, qkv_width(spec_)), [&](int64_t row) {
    rotate_row(layer, batch, row);
  });
  attend(layer, weights, batch);
  const std::span<const float> attended =
      std::span(work_.attended)
          .first(static_cast<size_t>(batch.rows * spec_.q_heads * spec_.head_dim));
  show(weights, LinearInput::attention_output, attended);
  const bool has_own_norm = !spec_.shared_norm;
  if (spec_.parallel_residual && has_own_norm) input = sublayer_input(weights.mlp_norm, batch);
  add_to_residual(weights.attention_output, attended, weights.attention_post_norm, batch);
  finish_sublayer(weights.attention_norm, batch);
  if (!spec_.parallel_residual) input = sublayer_input(weights.mlp_norm, batch);
  run_mlp(weights, input, batch);
  finish_sublayer(weights.mlp_norm, batch);
}

void Decoder::prepare_rope(const Batch& batch) {
  if (spec_.position != PositionKind::rope) return;
  std::vector<RopeTable::Need> rotations;
  for (const BatchSegment& part : batch.segments) {
    rotations.push_back({.prompt_tokens = part.segment->prompt_tokens,
                         .positions = part.first_position + part.rows});
  }
  rope_.prepare(rotations);
  if (spec_.local_rope) local_rope_.prepare(rotations);
}

void Decoder::prepare(const Batch& batch) {
  for (const BatchSegment& part : batch.segments) {
    ensure(
        spec_.position != PositionKind::learned || part.first_position + part.rows <= spec_.context,
        "a position that was not learned");
  }
  grow(work_.residual, batch.rows * spec_.hidden);
  grow(work_.normed, batch.rows * spec_.hidden);
  grow(work_.qkv, batch.rows * qkv_width(spec_));
  grow(work_.attended, batch.rows * spec_.q_heads * spec_.head_dim);
  grow(work_.mlp, batch.rows * spec_.ffn);
  grow(work_.alpha, batch.rows * spec_.kv_heads);
  if (batch.shifts_positions) grow(work_.q_far, batch.rows * qkv_width(spec_));
  prepare_rope(batch);
}

std::span<const float> Decoder::forward(std::span<const Segment> segments) {
  Batch batch(segments);
  prepare(batch);
  embed(batch);
  for (int64_t layer = 0; layer < spec_.layers; ++layer) {
    batch.layer_weights = &weights_.layers[static_cast<size_t>(layer)];
    run_layer(layer, batch);
  }
  for (const BatchSegment& part : batch.segments) part.segment->cache->commit(part.rows);
  return project_head(batch);
}

}  // namespace dms::model
