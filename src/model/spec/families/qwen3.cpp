// Qwen3: Llama with an RMSNorm on each q and k head.

#include "model/spec/families/family.h"

namespace dms::families {

ModelSpec make_qwen3(const JsonFields& config) {
  ModelSpec spec = llama_like(config, {.context = 32768, .kv_heads = 32, .head_dim = 128});
  spec.qk_norm = true;
  spec.qkv_bias = config.boolean_or("attention_bias", false);
  spec.output_bias = spec.qkv_bias;
  spec.sliding_window = qwen_sliding_windows(config, spec.layers);
  return spec;
}

}  // namespace dms::families
