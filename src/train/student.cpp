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

at::Tensor Student::norm(WeightRole weight, int64_t index, const at::Tensor& x) const {
  return rms_norm(x, parameters_.get(weight, index), spec_.norm_eps);
}

at::Tensor Student::linear(WeightRole weight,
                           WeightRole bias,
                           int64_t index,
                           const at::Tensor& x) const {
  const at::Tensor& b = parameters_.get(bias, index);
  return at::linear(
      x, parameters_.get(weight, index), b.defined() ? std::optional(b) : std::nullopt);
}

Student::Angles Student::angles(int64_t tokens) const {
  // The engine's float32 rounding of the angles, at every type.
  std::vector<float> inverse = inverse_frequencies(spec_.rope, tokens);
  const at::Tensor frequencies =
      at::from_blob(inverse.data(), {static_cast<int64_t>(inverse.size())}, at::kFloat);
  const at::Tensor angle = at::arange(tokens, at::kFloat).unsqueeze(1) * frequencies;
  const double factor = attention_factor(spec_.rope);
  return {(angle.cos() * factor).to(device(), wide()), (angle.sin() * factor).to(device(), wide())};
}

/// Float32 whatever the compute type: near zero, rounding would flip decisions.
at::Tensor Student::decision_logits(int64_t index, const at::Tensor& x, const at::Tensor& q) const {
  at::Tensor raw;
  if (spec_.dms->source == DmsSource::adapter) {
    const at::Tensor normed = norm(WeightRole::dms_alpha_norm, index, x.to(wide()));
    raw = linear(WeightRole::dms_alpha, WeightRole::dms_alpha_bias, index, normed).transpose(1, 2);
  } else {
    raw = q.slice(1, 0, spec_.q_heads, spec_.group()).select(3, spec_.head_dim - 1).to(wide());
  }
  return raw * spec_.dms->alpha_scale - spec_.dms->alpha_offset;
}

Gates Student::gates(int64_t index, const at::Tensor& logits, const PassOptions& options) const {
  if (options.eviction == PassOptions::Eviction::soft) {
    return gate(logits, options.noise.select(0, index).to(logits.scalar_type()), options.gate);
  }
  if (!options.forced.defined()) return hard_gate(logits, options.gate);
  GateOptions own_fates = options.gate;
  own_fates.shift = 0;
  const at::Tensor fates = options.forced.select(0, index).to(logits.scalar_type()) - 0.5;
  return hard_gate(fates.unsqueeze(0).expand_as(logits), own_fates);
}

at::Tensor Student::attend(int64_t index,
                           const at::Tensor& x,
                           const Angles& angles,
                           const PassOptions& options,
                           at::Tensor& decisions) const {
  const at::Tensor normed = norm(WeightRole::attention_norm, index, x);
  at::Tensor q =
      split_heads(linear(WeightRole::q, WeightRole::q_bias, index, normed), spec_.head_dim);
  at::Tensor k =
      split_heads(linear(WeightRole::k, WeightRole::k_bias, index, normed), spec_.head_dim);
  const at::Tensor v =
      split_heads(linear(WeightRole::v, WeightRole::v_bias, index, normed), spec_.head_dim);
  if (spec_.qk_norm) {
    q = norm(WeightRole::q_norm, index, q);
    k = norm(WeightRole::k_norm, index, k);
  }
  at::Tensor bias;
  if (spec_.dms && !spec_.dms->disable_eviction && options.eviction != PassOptions::Eviction::off) {
    const Gates chosen = gates(index, decision_logits(index, x, q), options);
    bias = chosen.bias;
    decisions = chosen.decisions;
  }
  const bool borrows = spec_.dms && spec_.dms->source == DmsSource::neuron;
  if (borrows) q = q * borrowed_scale(spec_, options.borrowed, q);
  q = rotate(q, angles.cos, angles.sin);
  k = rotate(k, angles.cos, angles.sin);
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

at::Tensor Student::mlp(int64_t index, const at::Tensor& x) const {
  const at::Tensor normed = norm(WeightRole::mlp_norm, index, x);
  const at::Tensor up = linear(WeightRole::up, WeightRole::up_bias, index, normed);
  at::Tensor inner;
  if (!spec_.gated_mlp) {
    inner = activate(up, spec_.activation);
  } else {
    const at::Tensor gate = linear(WeightRole::gate, WeightRole::gate_bias, index, normed);
    inner = spec_.activation == Activation::silu ? swiglu(gate, up)
                                                 : activate(gate, spec_.activation) * up;
  }
  return linear(WeightRole::down, WeightRole::down_bias, index, inner);
}

Student::LayerOutput Student::layer(int64_t index,
                                    const at::Tensor& x,
                                    const Angles& angles,
                                    const PassOptions& options) const {
  LayerOutput out;
  const at::Tensor attended = x + attend(index, x, angles, options, out.decisions);
  out.hidden = attended + mlp(index, attended);
  return out;
}

Student::LayerOutput Student::checkpointed(int64_t index,
                                           const at::Tensor& x,
                                           const Angles& angles,
                                           const PassOptions& options) const {
  std::vector<at::Tensor> inputs{x};
  for (const Parameter& parameter : parameters_.all()) {
    if (parameter.name.layer == index && parameter.trained) inputs.push_back(parameter.value);
  }
  const std::vector<at::Tensor> outputs = run_checkpointed(
      [this, index, angles, options](const at::Tensor& input) {
        const LayerOutput out = layer(index, input, angles, options);
        return out.decisions.defined() ? std::vector{out.hidden, out.decisions}
                                       : std::vector{out.hidden};
      },
      inputs);
  return {outputs[0], outputs.size() > 1 ? outputs[1] : at::Tensor()};
}

PassResult Student::forward(const at::Tensor& ids,
                            const at::Tensor& lengths,
                            const PassOptions& options) const {
  const int64_t tokens = ids.size(1);
  const Angles turned = angles(tokens);
  at::Tensor x = at::embedding(parameters_.get(WeightRole::embedding), ids);
  const at::Tensor real = (at::arange(tokens, lengths.options()) < lengths.unsqueeze(1))
                              .to(wide())
                              .unsqueeze(1);  // [batch, 1, tokens]
  PassResult result;
  std::vector<at::Tensor> layers;  // [batch, kv_heads] each
  for (int64_t index = 0; index < spec_.layers; ++index) {
    const bool recompute = options.checkpointing && at::GradMode::is_enabled();
    const LayerOutput out =
        recompute ? checkpointed(index, x, turned, options) : layer(index, x, turned, options);
    x = out.hidden;
    if (out.decisions.defined()) {
      layers.push_back((out.decisions * real).sum(2) / lengths.unsqueeze(1).to(wide()));
    }
  }
  result.hidden = spec_.has_final_norm ? norm(WeightRole::final_norm, -1, x) : x;
  if (!layers.empty()) {
    const at::Tensor stacked = at::stack(layers);  // [layers, batch, kv_heads]
    result.fraction = stacked.mean(std::vector<int64_t>{0, 2});
    result.layer_fraction = stacked.detach().mean(1);
  }
  return result;
}

}  // namespace dms::train
