#include "train/student.h"

#include <cmath>
#include <span>

#include "model/spec/rope_frequencies.h"
#include "train/attention.h"
#include "train/layer_checkpoint.h"
#include "train/ops.h"
#include "train/trainable.h"

namespace dms::train {
namespace {

at::Tensor split_heads(const at::Tensor& x, int64_t head_dim) {
  return x.unflatten(2, {-1, head_dim}).transpose(1, 2);
}

at::Tensor activate(const at::Tensor& x, Activation activation) {
  switch (activation) {
    case Activation::silu:
      return at::silu(x);
    case Activation::gelu:
      return at::gelu(x);
    case Activation::gelu_tanh:
      return at::gelu(x, "tanh");
    case Activation::relu:
      return at::relu(x);
  }
  return x;
}

/// 1 everywhere but in the last channel of the first query head of each group, where `left` stands.
at::Tensor borrowed_scale(const ModelSpec& spec, double left, const at::Tensor& like) {
  at::Tensor scale = at::ones({1, spec.q_heads, 1, spec.head_dim}, like.options());
  scale.slice(1, 0, spec.q_heads, spec.group()).select(3, spec.head_dim - 1).fill_(left);
  return scale;
}

}  // namespace

Student::Student(ModelSpec spec, Parameters parameters)
    : spec_(std::move(spec)), parameters_(std::move(parameters)) {
  require_trainable(spec_);
}

at::ScalarType Student::wide() const { return wide_type(parameters_.get(WeightRole::embedding)); }

at::Device Student::device() const { return parameters_.get(WeightRole::embedding).device(); }

const at::Tensor& Student::head() const {
  return parameters_.get(spec_.tied_head ? WeightRole::embedding : WeightRole::head);
}

at::Tensor Student::norm(WeightRole weight,
                         WeightRole bias,
                         int64_t index,
                         const at::Tensor& x) const {
  const at::Tensor& scale = parameters_.get(weight, index);
  if (spec_.norm == NormKind::layer) {
    const at::Tensor& offset = parameters_.get(bias, index);
    return at::layer_norm(x,
                          {x.size(-1)},
                          scale,
                          offset.defined() ? std::optional(offset) : std::nullopt,
                          spec_.norm_eps);
  }
  if (spec_.norm_offset == 0.0) return rms_norm(x, scale, spec_.norm_eps);
  return rms_norm(x, scale.to(wide_type(x)) + spec_.norm_offset, spec_.norm_eps);
}

/// What a sub-layer reads of the residual.
at::Tensor Student::before(WeightRole weight,
                           WeightRole bias,
                           int64_t index,
                           const at::Tensor& x) const {
  return spec_.norm_after ? x : norm(weight, bias, index, x);
}

/// The residual with what a sub-layer adds to it, normed where `post_norm` is there.
at::Tensor Student::add_branch(WeightRole post_norm,
                               int64_t index,
                               const at::Tensor& x,
                               const at::Tensor& branch) const {
  if (!parameters_.get(post_norm, index).defined()) return x + branch;
  return x + norm(post_norm, WeightRole::final_norm_bias, index, branch);
}

at::Tensor Student::after(WeightRole weight,
                          WeightRole bias,
                          int64_t index,
                          const at::Tensor& x) const {
  return spec_.norm_after ? norm(weight, bias, index, x) : x;
}

at::Tensor Student::linear(WeightRole weight,
                           WeightRole bias,
                           int64_t index,
                           const at::Tensor& x) const {
  const at::Tensor& b = parameters_.get(bias, index);
  return at::linear(
      x, parameters_.get(weight, index), b.defined() ? std::optional(b) : std::nullopt);
}

Student::Angles Student::angles(const RopeSpec& rope, int64_t tokens) const {
  // The engine's float32 rounding of the angles, at every type.
  std::vector<float> inverse = inverse_frequencies(rope, tokens);
  const at::Tensor frequencies =
      at::from_blob(inverse.data(), {static_cast<int64_t>(inverse.size())}, at::kFloat);
  const at::Tensor angle = at::arange(tokens, at::kFloat).unsqueeze(1) * frequencies;
  const double factor = attention_factor(rope);
  return {(angle.cos() * factor).to(device(), wide()), (angle.sin() * factor).to(device(), wide())};
}

Student::Rotations Student::rotations(int64_t tokens) const {
  Rotations turns;
  if (spec_.position == PositionKind::rope) turns.all = angles(spec_.rope, tokens);
  if (spec_.local_rope) turns.local = angles(*spec_.local_rope, tokens);
  return turns;
}

/// Float32 whatever the compute type: near zero, rounding would flip decisions.
at::Tensor Student::decision_logits(int64_t index, const at::Tensor& x, const at::Tensor& q) const {
  at::Tensor raw;
  if (spec_.dms->source == DmsSource::adapter) {
    const at::Tensor& scale = parameters_.get(WeightRole::dms_alpha_norm, index);
    const at::Tensor normed = rms_norm(x.to(wide()), scale, spec_.norm_eps);
    raw = linear(WeightRole::dms_alpha, WeightRole::dms_alpha_bias, index, normed).transpose(1, 2);
  } else {
    raw = q.slice(1, 0, spec_.q_heads, spec_.group()).select(3, spec_.head_dim - 1).to(wide());
  }
  return raw * spec_.dms->alpha_scale - spec_.dms->alpha_offset;
}

Gates Student::gates(int64_t index, const at::Tensor& logits, const PassOptions& options) const {
  GateOptions gating = options.gate;
  gating.sinks = spec_.dms->sinks;
  if (options.eviction == PassOptions::Eviction::soft) {
    return gate(logits, options.noise.select(0, index).to(logits.scalar_type()), gating);
  }
  if (!options.forced.defined()) return hard_gate(logits, gating);
  GateOptions own_fates = gating;
  own_fates.shift = 0;
  const at::Tensor fates = options.forced.select(0, index).to(logits.scalar_type()) - 0.5;
  return hard_gate(fates.unsqueeze(0).expand_as(logits), own_fates);
}

Student::Heads Student::project(int64_t index, const at::Tensor& input) const {
  const int64_t dim = spec_.head_dim;
  if (spec_.qkv_layout == QkvLayout::separate) {
    return {split_heads(linear(WeightRole::q, WeightRole::q_bias, index, input), dim),
            split_heads(linear(WeightRole::k, WeightRole::k_bias, index, input), dim),
            split_heads(linear(WeightRole::v, WeightRole::v_bias, index, input), dim)};
  }
  const at::Tensor fused = linear(WeightRole::qkv, WeightRole::qkv_bias, index, input);
  if (spec_.qkv_layout == QkvLayout::concatenated) {
    const int64_t kv = spec_.kv_heads * dim;
    const std::vector<at::Tensor> parts = fused.split_with_sizes({spec_.q_heads * dim, kv, kv}, 2);
    return {split_heads(parts[0], dim), split_heads(parts[1], dim), split_heads(parts[2], dim)};
  }
  // per_head is per_group with groups of one: [kv_head][q x group, k, v][head_dim].
  const std::vector<at::Tensor> parts = fused.unflatten(2, {spec_.kv_heads, spec_.group() + 2, dim})
                                            .split_with_sizes({spec_.group(), 1, 1}, 3);
  const auto heads = [](const at::Tensor& part) { return part.flatten(2, 3).transpose(1, 2); };
  return {heads(parts[0]), heads(parts[1]), heads(parts[2])};
}

at::Tensor Student::attend(int64_t index,
                           const at::Tensor& x,
                           const at::Tensor& input,
                           const Rotations& turns,
                           const PassOptions& options,
                           at::Tensor& decisions) const {
  auto [q, k, v] = project(index, input);
  if (spec_.qk_norm) {
    q = norm(WeightRole::q_norm, WeightRole::q_bias, index, q);
    k = norm(WeightRole::k_norm, WeightRole::k_bias, index, k);
  }
  at::Tensor bias;
  if (spec_.dms && !spec_.dms->disable_eviction && options.eviction != PassOptions::Eviction::off) {
    const Gates chosen = gates(index, decision_logits(index, x, q), options);
    bias = chosen.bias;
    decisions = chosen.decisions;
  }
  const bool borrows = spec_.dms && spec_.dms->source == DmsSource::neuron;
  if (borrows) q = q * borrowed_scale(spec_, options.borrowed, q);
  if (const RopeSpec* rope = spec_.rope_at(index)) {
    const Angles& turn = rope == &spec_.rope ? turns.all : turns.local;
    q = rotate(q, turn.cos, turn.sin);
    k = rotate(k, turn.cos, turn.sin);
  }
  if (borrows && spec_.dms->zero_after_rope) q = q * borrowed_scale(spec_, options.borrowed, q);
  const double scale = spec_.attention_scale != 0.0
                           ? spec_.attention_scale
                           : 1.0 / std::sqrt(static_cast<double>(spec_.head_dim));
  const at::Tensor out = attention(q,
                                   k,
                                   v,
                                   bias,
                                   {.scale = scale,
                                    .window = spec_.dms ? spec_.dms->window : 0,
                                    .sliding_window = spec_.sliding_window_at(index)});
  return linear(WeightRole::attention_output,
                WeightRole::attention_output_bias,
                index,
                out.transpose(1, 2).flatten(2, 3));
}

at::Tensor Student::mlp(int64_t index, const at::Tensor& input) const {
  at::Tensor gate;
  at::Tensor up;
  if (spec_.fused_gate_up) {
    const at::Tensor fused = linear(WeightRole::gate_up, WeightRole::up_bias, index, input);
    gate = fused.slice(2, 0, spec_.ffn);
    up = fused.slice(2, spec_.ffn);
  } else {
    up = linear(WeightRole::up, WeightRole::up_bias, index, input);
    if (spec_.gated_mlp) gate = linear(WeightRole::gate, WeightRole::gate_bias, index, input);
  }
  at::Tensor inner;
  if (!spec_.gated_mlp) {
    inner = activate(up, spec_.activation);
  } else if (spec_.activation == Activation::silu) {
    inner = swiglu(gate, up);
  } else {
    inner = activate(gate, spec_.activation) * up;
  }
  return linear(WeightRole::down, WeightRole::down_bias, index, inner);
}

Student::LayerOutput Student::layer(int64_t index,
                                    const at::Tensor& x,
                                    const Rotations& turns,
                                    const PassOptions& options) const {
  using enum WeightRole;
  LayerOutput out;
  const at::Tensor input = before(attention_norm, attention_norm_bias, index, x);
  const at::Tensor attention = attend(index, x, input, turns, options, out.decisions);
  const at::Tensor sum = add_branch(attention_post_norm, index, x, attention);
  const at::Tensor attended = after(attention_norm, attention_norm_bias, index, sum);
  const at::Tensor& residual = spec_.parallel_residual ? x : attended;
  const at::Tensor mlp_input =
      spec_.shared_norm ? input : before(mlp_norm, mlp_norm_bias, index, residual);
  const at::Tensor both = add_branch(mlp_post_norm, index, attended, mlp(index, mlp_input));
  out.hidden = after(mlp_norm, mlp_norm_bias, index, both);
  return out;
}

Student::LayerOutput Student::checkpointed(int64_t index,
                                           const at::Tensor& x,
                                           const Rotations& turns,
                                           const PassOptions& options) const {
  std::vector<at::Tensor> inputs{x};
  for (const Parameter& parameter : parameters_.all()) {
    if (parameter.name.layer == index && parameter.trained) inputs.push_back(parameter.value);
  }
  const std::vector<at::Tensor> outputs = run_checkpointed(
      [this, index, turns, options](const at::Tensor& input) {
        const LayerOutput out = layer(index, input, turns, options);
        return out.decisions.defined() ? std::vector{out.hidden, out.decisions}
                                       : std::vector{out.hidden};
      },
      inputs);
  return {outputs[0], outputs.size() > 1 ? outputs[1] : at::Tensor()};
}

at::Tensor Student::embed(const at::Tensor& ids) const {
  at::Tensor x = at::embedding(parameters_.get(WeightRole::embedding), ids);
  if (spec_.embedding_scale != 1.0) x = x * spec_.embedding_scale;
  const at::Tensor& projection = parameters_.get(WeightRole::embedding_projection);
  if (projection.defined()) x = at::linear(x, projection);
  if (spec_.position != PositionKind::learned) return x;
  const int64_t first = spec_.learned_position_offset;
  return x + parameters_.get(WeightRole::position_embedding).slice(0, first, first + ids.size(1));
}

/// What the head multiplies.
at::Tensor Student::head_input(const at::Tensor& x) const {
  const at::Tensor hidden =
      spec_.has_final_norm ? norm(WeightRole::final_norm, WeightRole::final_norm_bias, -1, x) : x;
  const at::Tensor& projection = parameters_.get(WeightRole::head_projection);
  return projection.defined() ? at::linear(hidden, projection) : hidden;
}

PassResult Student::forward(const at::Tensor& ids,
                            const at::Tensor& lengths,
                            const PassOptions& options) const {
  const int64_t tokens = ids.size(1);
  const Rotations turns = rotations(tokens);
  at::Tensor x = embed(ids);
  const at::Tensor real = (at::arange(tokens, lengths.options()) < lengths.unsqueeze(1))
                              .to(wide())
                              .unsqueeze(1);  // [batch, 1, tokens]
  PassResult result;
  std::vector<at::Tensor> layers;  // [batch, kv_heads] each
  for (int64_t index = 0; index < spec_.layers; ++index) {
    const bool recompute = options.checkpointing && at::GradMode::is_enabled();
    const LayerOutput out =
        recompute ? checkpointed(index, x, turns, options) : layer(index, x, turns, options);
    x = out.hidden;
    if (out.decisions.defined()) {
      layers.push_back((out.decisions * real).sum(2) / lengths.unsqueeze(1).to(wide()));
    }
  }
  result.hidden = head_input(x);
  if (!layers.empty()) {
    const at::Tensor stacked = at::stack(layers);  // [layers, batch, kv_heads]
    result.fraction = stacked.mean(std::vector<int64_t>{0, 2});
    result.layer_fraction = stacked.detach().mean(1);
  }
  return result;
}

}  // namespace dms::train
