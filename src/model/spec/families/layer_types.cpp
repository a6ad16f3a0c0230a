// layer_types of config.json: which layers have a sliding window.

#include <string>

#include "dms/error.h"
#include "model/spec/families/family.h"

namespace dms::families {
namespace {

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

std::vector<int64_t> layer_windows(const JsonFields& config,
                                   int64_t layers,
                                   int64_t window,
                                   const std::function<bool(int64_t layer)>& slides) {
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
        layer_types != nullptr ? is_sliding(*layer_types, layer, config) : slides(layer);
    windows.push_back(sliding ? window : 0);
  }
  return windows;
}

}  // namespace dms::families
