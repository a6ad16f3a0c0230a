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

/// Of all rows, without gaps.
void Step::run_logits(const StepWork& work, DecisionLogitParams params) {
  params.stride = params.outputs;
  params.rows = work.rows();
  check(decision_logits(params, stream_), "deciding what goes");
}

void Step::run_adapter(const StepWork& work, const DeviceLayer& layer) {
  check(norm({.x = residual_.at<float>(),
              .scale = layer.alpha_norm,
              .out_f32 = normed_f32_.at<float>(),
              .rows = work.rows(),
              .width = narrow(spec_.hidden),
              .eps = static_cast<float>(spec_.norm_eps)},
             stream_),
        "the adapter's norm");
  run_logits(work,
             {.x = normed_f32_.at<float>(),
              .weights = layer.alpha,
              .bias = layer.alpha_bias,
              .logits = alpha_.at<float>(),
              .outputs = narrow(spec_.kv_heads),
              .width = narrow(spec_.hidden),
              .scale = static_cast<float>(spec_.dms->alpha_scale),
              .offset = static_cast<float>(spec_.dms->alpha_offset)});
}

/// KVzap's, of the attention's input.
void Step::run_scores(const StepWork& work, const DeviceKvzap& kvzap) {
  const float* x = normed_f32_.at<float>();
  int32_t width = narrow(spec_.hidden);
  if (kvzap.hidden != nullptr) {
    const int32_t hidden = narrow(spec_.kvzap->hidden);
    run_logits(work,
               {.x = x,
                .weights = kvzap.hidden,
                .bias = kvzap.hidden_bias,
                .logits = alpha_hidden_.at<float>(),
                .outputs = hidden,
                .width = width,
                .gelu = true});
    x = alpha_hidden_.at<float>();
    width = hidden;
  }
  run_logits(work,
             {.x = x,
              .weights = kvzap.scores,
              .bias = kvzap.bias,
              .logits = alpha_.at<float>(),
              .outputs = narrow(spec_.kv_heads),
              .width = width});
}

/// What decides eviction, before the QKV product: from the adapter, or KVzap's scores, or the
/// borrowed channels, which finish_qkv() norms. Null: nothing does. Leaves the attention's input in
/// normed_.
const float* Step::decide(const StepWork& work, int32_t index) {
  const DeviceLayer& layer = weights_.layers[static_cast<size_t>(index)];
  const bool has_adapter = work.needs_logits && spec_.dms && !is_neuron();
  const bool has_scores = work.needs_logits && spec_.kvzap;
  if (has_adapter) run_adapter(work, layer);
  float* const normed = is_neuron() || has_scores ? normed_f32_.at<float>() : nullptr;
  norm_rows(layer.attention_norm, residual_.at<float>(), work.rows(), normed);
  if (is_neuron()) {
    const bool has_bias = decision_bias_.bytes() > 0;
    run_logits(work,
               {.x = normed,
                .weights = layer.decision_rows,
                .bias = has_bias ? decision_bias_.at<float>() + index * spec_.kv_heads : nullptr,
                .logits = alpha_.at<float>(),
                .outputs = narrow(spec_.kv_heads),
                .width = narrow(spec_.hidden)});
  }
  if (has_scores) run_scores(work, layer.kvzap);
  return has_adapter || is_neuron() || has_scores ? alpha_.at<float>() : nullptr;
}

}  // namespace dms::cuda
