// A step's eviction decisions: what they are made of, in the order of semantics.md section 1.

#include "cuda/kernels/decisions.h"
#include "cuda/step.h"
#include "model/decoder_weights.h"

namespace dms::cuda {
namespace {

int32_t narrow(int64_t value) { return static_cast<int32_t>(value); }

}  // namespace

/// finish_qkv() adds no bias to logits that it is given.
void Step::make_decision_bias() {
  if (!is_neuron() || !spec_.qkv_bias) return;
  const size_t bytes = static_cast<size_t>(spec_.layers * spec_.kv_heads) * sizeof(float);
  decision_bias_ = DeviceBuffer(bytes, "biases of decisions");
  float* to = decision_bias_.at<float>();
  for (const DeviceLayer& layer : weights_.layers) {
    for (int64_t head = 0; head < spec_.kv_heads; ++head) {
      check(cudaMemcpyAsync(to++,
                            layer.qkv.bias + model::borrowed_channel(spec_, head),
                            sizeof(float),
                            cudaMemcpyDeviceToDevice,
                            stream_),
            "gathering biases");
    }
  }
}

/// What decides eviction, before the QKV product: from the adapter, or KVzap's scores, or the
/// borrowed channels, which finish_qkv() norms. Null: nothing does. Leaves the attention's input in
/// normed_.
const float* Step::decide(const StepWork& work, int32_t index) {
  const DeviceLayer& layer = weights_.layers[static_cast<size_t>(index)];
  const auto logits = [&](DecisionLogitParams params) {
    params.logits = params.logits == nullptr ? alpha_.at<float>() : params.logits;
    params.stride = params.outputs;
    params.rows = work.rows();
    check(decision_logits(params, stream_), "deciding what goes");
  };
  const bool has_adapter = work.needs_logits && spec_.dms && !is_neuron();
  const bool has_scores = work.needs_logits && spec_.kvzap;
  float* normed = normed_f32_.at<float>();
  if (has_adapter) {
    check(norm({.x = residual_.at<float>(),
                .scale = layer.alpha_norm,
                .out_f32 = normed,
                .rows = work.rows(),
                .width = narrow(spec_.hidden),
                .eps = static_cast<float>(spec_.norm_eps)},
               stream_),
          "the adapter's norm");
    logits({.x = normed,
            .weights = layer.alpha,
            .bias = layer.alpha_bias,
            .outputs = narrow(spec_.kv_heads),
            .width = narrow(spec_.hidden),
            .scale = static_cast<float>(spec_.dms->alpha_scale),
            .offset = static_cast<float>(spec_.dms->alpha_offset)});
  }
  const bool needs_input = is_neuron() || has_scores;
  norm_rows(
      layer.attention_norm, residual_.at<float>(), work.rows(), needs_input ? normed : nullptr);
  if (is_neuron()) {
    logits({.x = normed,
            .weights = layer.decision_rows,
            .bias = decision_bias_.bytes() == 0
                        ? nullptr
                        : decision_bias_.at<float>() + index * spec_.kv_heads,
            .outputs = narrow(spec_.kv_heads),
            .width = narrow(spec_.hidden)});
  }
  if (has_scores) {
    int32_t width = narrow(spec_.hidden);
    const float* x = normed;
    if (layer.kvzap.hidden != nullptr) {
      logits({.x = x,
              .weights = layer.kvzap.hidden,
              .bias = layer.kvzap.hidden_bias,
              .logits = alpha_hidden_.at<float>(),
              .outputs = narrow(spec_.kvzap->hidden),
              .width = width,
              .gelu = true});
      x = alpha_hidden_.at<float>();
      width = narrow(spec_.kvzap->hidden);
    }
    logits({.x = x,
            .weights = layer.kvzap.scores,
            .bias = layer.kvzap.bias,
            .outputs = narrow(spec_.kv_heads),
            .width = width});
  }
  return has_adapter || is_neuron() || has_scores ? alpha_.at<float>() : nullptr;
}

}  // namespace dms::cuda
