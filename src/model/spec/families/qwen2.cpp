// Qwen2 and Qwen2.5: Llama with biases on q, k and v, and a sliding window on some layers if asked.

#include <string>

#include "dms/error.h"
#include "model/spec/families/family.h"

namespace dms::families {
namespace {

constexpr int64_t kDefaultWindow = 4096;
constexpr int64_t kDefaultFullLayers = 28;
constexpr int64_t kMaxWindow = int64_t{1} << 30;

bool is_sliding(const Json& layer_types, int64_t layer, const JsonFields& config) {
  const Json& kind = layer_types[static_cast<size_t>(layer)];
  if (kind == "sliding_attention") return true;
  if (kind == "full_attention") return false;
  throw InputError({.where = config.where() + ": layer_types",
                    .what = "unknown kind of layer " + std::to_string(layer),
                    .got = quote_json(kind),
                    .expected = "full_attention or sliding_attention"});
}

}  // namespace

std::vector<int64_t> qwen_sliding_windows(const JsonFields& config, int64_t layers) {
  if (!config.boolean_or("use_sliding_window", false) || config.is_null("sliding_window")) {
    return {};
  }
  const int64_t window = config.integer_or("sliding_window", kDefaultWindow, 1, kMaxWindow);
  const int64_t full_layers =
      config.integer_or("max_window_layers", kDefaultFullLayers, 0, int64_t{1} << 30);
  const Json* layer_types = config.find("layer_types");
  if (layer_types != nullptr && (!layer_types->is_array() || std::ssize(*layer_types) != layers)) {
    throw InputError({.where = config.where() + ": layer_types",
                      .what = "wrong length",
                      .got = std::to_string(layer_types->size()),
                      .expected = std::to_string(layers)});
  }
  std::vector<int64_t> windows;
  for (int64_t layer = 0; layer < layers; ++layer) {
    const bool sliding =
        layer_types != nullptr ? is_sliding(*layer_types, layer, config) : layer >= full_layers;
    windows.push_back(sliding ? window : 0);
  }
  return windows;
}

ModelSpec make_qwen2(const JsonFields& config) {
  ModelSpec spec = llama_like(config, {.context = 32768, .kv_heads = 32});
  spec.qkv_bias = true;
  spec.sliding_window = qwen_sliding_windows(config, spec.layers);
  return spec;
}

}  // namespace dms::families
