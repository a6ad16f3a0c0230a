// SmolLM3: Llama whose every fourth layer does without positions.

#include <string>

#include "dms/error.h"
#include "model/spec/families/family.h"

namespace dms::families {
namespace {

constexpr double kDefaultTheta = 2e6;
constexpr int64_t kDefaultInterval = 4;

/// 1: the layer's heads do not turn. no_rope_layers has a 1 for each layer that does turn.
std::vector<uint8_t> unrotated_layers(const JsonFields& config, int64_t layers) {
  const int64_t interval =
      config.integer_or("no_rope_layer_interval", kDefaultInterval, 1, int64_t{1} << 30);
  const Json* turns = config.find("no_rope_layers");
  if (turns != nullptr && (!turns->is_array() || std::ssize(*turns) < layers)) {
    throw InputError(
        {.where = config.where() + ": no_rope_layers",
         .what = "bad value",
         .got = quote_json(*turns),
         .expected = "a list of 0 or 1 for each of " + std::to_string(layers) + " layers"});
  }
  std::vector<uint8_t> unrotated;
  for (int64_t layer = 0; layer < layers; ++layer) {
    if (turns == nullptr) {
      unrotated.push_back((layer + 1) % interval == 0 ? 1 : 0);
      continue;
    }
    const Json& turn = (*turns)[static_cast<size_t>(layer)];
    if (turn != 0 && turn != 1) {
      throw InputError({.where = config.where() + ": no_rope_layers",
                        .what = "bad value of layer " + std::to_string(layer),
                        .got = quote_json(turn),
                        .expected = "0 or 1"});
    }
    unrotated.push_back(turn == 0 ? 1 : 0);
  }
  return unrotated;
}

}  // namespace

ModelSpec make_smollm3(const JsonFields& config) {
  ModelSpec spec = llama_like(config,
                              {.context = 32768,
                               .kv_heads = 4,
                               .tied_head = true,
                               .rope = {.default_theta = kDefaultTheta}});
  spec.qkv_bias = config.boolean_or("attention_bias", false);
  spec.output_bias = spec.qkv_bias;
  spec.mlp_bias = config.boolean_or("mlp_bias", false);
  spec.unrotated = unrotated_layers(config, spec.layers);
  // As in transformers the switch is asked only where layer_types does not say which layers slide.
  const bool slides = config.has("layer_types") || config.boolean_or("use_sliding_window", false);
  if (slides && config.has("sliding_window")) {
    const int64_t window = config.integer("sliding_window", 1, kMaxWindow);
    spec.sliding_window = layer_windows(config, spec.layers, window, [&](int64_t layer) {
      return spec.unrotated[static_cast<size_t>(layer)] != 0;
    });
  }
  return spec;
}

}  // namespace dms::families
