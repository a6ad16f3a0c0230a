#include "model/decoder.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "base/check.h"
#include "base/parallel.h"
#include "dms/error.h"
#include "kernels/elementwise.h"
#include "kernels/norm.h"
#include "kernels/rope.h"
#include "model/attention.h"
#include "model/batch.h"
#include "model/kvzap_scores.h"

namespace dms::model {
namespace {

using kernels::Epilogue;

/// Values of a row-wise step that are worth another thread's attention.
constexpr int64_t kGrainValues = 1 << 14;

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

void refuse_unless(bool supported, const ModelSpec& spec, const std::string& feature) {
  if (supported) return;
  throw InputError({.where = "config.json: model_type " + spec.model_type,
                    .what = "the decoder does not compute " + feature + " yet"});
}

void grow(std::vector<float>& buffer, int64_t count) {
  if (std::ssize(buffer) < count) buffer.resize(static_cast<size_t>(count));
}

/// Rows of logits are large: the room for a whole chunk's goes with the first pass that wants few.
void fit(std::vector<float>& buffer, size_t count) {
  if (buffer.capacity() / 4 > count) buffer = std::vector<float>();  // {} would keep the room
  buffer.resize(count);
}

}  // namespace

Decoder::Decoder(ModelSpec spec, DecoderWeights weights, kernels::Compute compute)
    : spec_(std::move(spec)), weights_(std::move(weights)), compute_(compute), rope_(spec_.rope) {
  refuse_unless(spec_.position == PositionKind::rope, spec_, "ALiBi or learned positions");
  refuse_unless(!spec_.parallel_residual, spec_, "parallel residuals");
  refuse_unless(!spec_.norm_after, spec_, "norms after the sub-layers");
  refuse_unless(spec_.embedding_dim == 0, spec_, "projected embeddings");
  refuse_unless(spec_.qkv_clip == 0.0, spec_, "clamped q, k and v");
}

void Decoder::embed(const Batch& batch) {
  const int64_t hidden = spec_.hidden;
  parallel_for(batch.rows, ceil_div(kGrainValues, hidden), [&](int64_t row) {
    weights_.get_embedding(
        batch.row_token[static_cast<size_t>(row)],
        std::span(work_.residual)
            .subspan(static_cast<size_t>(row * hidden), static_cast<size_t>(hidden)));
  });
}

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

void Decoder::project_qkv(const LayerWeights& weights, const Batch& batch) {
  const auto values = static_cast<size_t>(batch.rows * spec_.hidden);
  const std::span<const float> x = std::span(work_.residual).first(values);
  const std::span<float> normed = std::span(work_.normed).first(values);
  normalise(weights.attention_norm, x, normed);
  show(weights, LinearInput::qkv, normed);
  if (batch.needs_decision_logits && spec_.kvzap) {
    kvzap_scores(weights.kvzap, normed, batch.rows, work_.alpha);
  }
  const int64_t width = qkv_width(spec_);
  kernels::matmul({.weights = weights.qkv.matrix,
                   .x = normed,
                   .out = std::span(work_.qkv).first(static_cast<size_t>(batch.rows * width)),
                   .bias = weights.qkv.bias,
                   .rows = batch.rows,
                   .out_columns = width,
                   .compute = compute_});
  if (!weights.decision_rows.empty()) decide_exactly(weights, batch);
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
void Decoder::decide_exactly(const LayerWeights& weights, const Batch& batch) {
  const auto hidden = static_cast<size_t>(spec_.hidden);
  const int64_t width = qkv_width(spec_);
  parallel_for(batch.rows, ceil_div(kGrainValues, spec_.hidden), [&](int64_t row) {
    const std::span<const float> normed =
        std::span(work_.normed).subspan(static_cast<size_t>(row) * hidden, hidden);
    for (int64_t head = 0; head < spec_.kv_heads; ++head) {
      const int64_t channel = model::borrowed_channel(spec_, head);
      const auto at = static_cast<size_t>(head) * hidden;
      float logit =
          kernels::dot_fixed_order(normed, std::span(weights.decision_rows).subspan(at, hidden));
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

/// QK norm, the borrowed channels and RoPE, for one token's heads.
void Decoder::rotate_row(const Batch& batch, int64_t row) {
  const auto q_values = static_cast<size_t>(spec_.q_heads * spec_.head_dim);
  const auto k_values = static_cast<size_t>(spec_.kv_heads * spec_.head_dim);
  const auto at = static_cast<size_t>(row * qkv_width(spec_));
  const std::span<float> q = std::span(work_.qkv).subspan(at, q_values);
  const std::span<float> k = std::span(work_.qkv).subspan(at + q_values, k_values);
  if (spec_.qk_norm) {
    const auto eps = static_cast<float>(spec_.norm_eps);
    kernels::rms_norm(q, batch.layer_weights->q_norm, eps, q);
    kernels::rms_norm(k, batch.layer_weights->k_norm, eps, k);
  }
  const bool is_neuron = spec_.dms && spec_.dms->source == DmsSource::neuron;
  if (is_neuron) take_borrowed_channels(q, row);

  const Segment& segment = *batch.row_segment[static_cast<size_t>(row)];
  const auto turn = [&](std::span<float> heads, int64_t position) {
    const RopeTable::Angles angles = rope_.at(segment.prompt_tokens, position);
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

void Decoder::append_to_caches(int64_t layer, const Batch& batch) {
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
                                  .ended_prompt = part.segment->ended_prompt};
    if (chunk_watcher_) chunk_watcher_(chunk);
    part.segment->cache->append(chunk);
  }
}

void Decoder::run_mlp(const LayerWeights& weights, const Batch& batch) {
  const auto values = static_cast<size_t>(batch.rows * spec_.hidden);
  const std::span<float> residual = std::span(work_.residual).first(values);
  const std::span<float> normed = std::span(work_.normed).first(values);
  const std::span<float> mlp =
      std::span(work_.mlp).first(static_cast<size_t>(batch.rows * spec_.ffn));
  normalise(weights.mlp_norm, residual, normed);
  show(weights, LinearInput::mlp_in, normed);
  kernels::matmul(
      {.weights = weights.mlp_in.matrix,
       .x = normed,
       .out = mlp,
       .bias = weights.mlp_in.bias,
       .rows = batch.rows,
       .out_columns = spec_.ffn,
       .compute = compute_,
       .epilogue = spec_.gated_mlp ? gate_epilogue(spec_.activation) : Epilogue::store});
  if (!spec_.gated_mlp) kernels::apply(unary_op(spec_.activation), mlp);
  show(weights, LinearInput::mlp_out, mlp);
  kernels::matmul({.weights = weights.mlp_out.matrix,
                   .x = mlp,
                   .out = residual,
                   .bias = weights.mlp_out.bias,
                   .rows = batch.rows,
                   .out_columns = spec_.hidden,
                   .compute = compute_,
                   .epilogue = Epilogue::accumulate});
}

void Decoder::run_layer(int64_t layer, const Batch& batch) {
  const LayerWeights& weights = *batch.layer_weights;
  if (batch.needs_decision_logits && spec_.dms && spec_.dms->source == DmsSource::adapter) {
    compute_alpha(weights, batch);
  }
  project_qkv(weights, batch);
  parallel_for(batch.rows, ceil_div(kGrainValues, qkv_width(spec_)), [&](int64_t row) {
    rotate_row(batch, row);
  });
  append_to_caches(layer, batch);

  const auto start = std::chrono::steady_clock::now();
  run_attention(spec_, layer, batch, work_);
  attention_seconds_ +=
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  for (const BatchSegment& part : batch.segments) part.segment->cache->finish_layer(layer);

  const int64_t q_values = spec_.q_heads * spec_.head_dim;
  const std::span<const float> attended =
      std::span(work_.attended).first(static_cast<size_t>(batch.rows * q_values));
  show(weights, LinearInput::attention_output, attended);
  kernels::matmul(
      {.weights = weights.attention_output.matrix,
       .x = attended,
       .out = std::span(work_.residual).first(static_cast<size_t>(batch.rows * spec_.hidden)),
       .bias = weights.attention_output.bias,
       .rows = batch.rows,
       .out_columns = spec_.hidden,
       .compute = compute_,
       .epilogue = Epilogue::accumulate});
  run_mlp(weights, batch);
}

std::span<const float> Decoder::project_head(const Batch& batch) {
  const auto hidden = static_cast<size_t>(spec_.hidden);
  const auto rows = std::ssize(batch.logit_rows);
  if (rows == 0) return {};
  fit(head_rows_, static_cast<size_t>(rows) * hidden);
  fit(logits_, static_cast<size_t>(rows * spec_.vocab));
  for (int64_t i = 0; i < rows; ++i) {
    const auto from = static_cast<size_t>(batch.logit_rows[static_cast<size_t>(i)]) * hidden;
    std::ranges::copy(std::span(work_.residual).subspan(from, hidden),
                      head_rows_.begin() + i * spec_.hidden);
  }
  if (spec_.has_final_norm) normalise(weights_.final_norm, head_rows_, head_rows_);
  kernels::matmul({.weights = weights_.head,
                   .x = head_rows_,
                   .out = logits_,
                   .rows = rows,
                   .out_columns = spec_.vocab,
                   .compute = compute_});
  return logits_;
}

std::span<const float> Decoder::forward(std::span<const Segment> segments) {
  Batch batch(segments);
  grow(work_.residual, batch.rows * spec_.hidden);
  grow(work_.normed, batch.rows * spec_.hidden);
  grow(work_.qkv, batch.rows * qkv_width(spec_));
  grow(work_.attended, batch.rows * spec_.q_heads * spec_.head_dim);
  grow(work_.mlp, batch.rows * spec_.ffn);
  grow(work_.alpha, batch.rows * spec_.kv_heads);
  if (batch.shifts_positions) grow(work_.q_far, batch.rows * qkv_width(spec_));
  std::vector<RopeTable::Need> rotations;
  for (const BatchSegment& part : batch.segments) {
    rotations.push_back({.prompt_tokens = part.segment->prompt_tokens,
                         .positions = part.first_position + part.rows});
  }
  rope_.prepare(rotations);
  embed(batch);
  for (int64_t layer = 0; layer < spec_.layers; ++layer) {
    batch.layer_weights = &weights_.layers[static_cast<size_t>(layer)];
    run_layer(layer, batch);
  }
  for (const BatchSegment& part : batch.segments) part.segment->cache->commit(part.rows);
  return project_head(batch);
}

}  // namespace dms::model
