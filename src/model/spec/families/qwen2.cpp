// Qwen2 and Qwen2.5: Llama with biases on q, k and v, and a sliding window on some layers if asked.

#include "model/spec/families/family.h"

namespace dms::families {
namespace {

constexpr int64_t kDefaultWindow = 4096;
constexpr int64_t kDefaultFullLayers = 28;

}  // namespace

std::vector<int64_t> qwen_sliding_windows(const JsonFields& config, int64_t layers) {
  if (!config.boolean_or("use_sliding_window", false) || config.is_null("sliding_window")) {
    return {};
  }
  const int64_t window = config.integer_or("sliding_window", kDefaultWindow, 1, kMaxWindow);
  const int64_t full_layers =
      config.integer_or("max_window_layers", kDefaultFullLayers, 0, int64_t{1} << 30);
  return layer_windows(config, layers, window, [&](int64_t layer) { return layer >= full_layers; });
}

ModelSpec make_qwen2(const JsonFields& config) {
  ModelSpec spec = llama_like(config, {.context = 32768, .kv_heads = 32});
  spec.qkv_bias = true;
  spec.sliding_window = qwen_sliding_windows(config, spec.layers);
  return spec;
}

}  // namespace dms::families
