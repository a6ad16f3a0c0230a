// Mistral: Llama with a sliding window on every layer.

#include "model/spec/families/family.h"

namespace dms::families {
namespace {

// What transformers assumes where the key is absent; an explicit null means no window.
constexpr int64_t kDefaultWindow = 4096;

}  // namespace

ModelSpec make_mistral(const JsonFields& config) {
  ModelSpec spec = llama_like(config, {.context = 131072, .kv_heads = 8});
  if (!config.is_null("sliding_window")) {
    const int64_t window = config.integer_or("sliding_window", kDefaultWindow, 1, kMaxWindow);
    spec.sliding_window.assign(static_cast<size_t>(spec.layers), window);
  }
  return spec;
}

}  // namespace dms::families
