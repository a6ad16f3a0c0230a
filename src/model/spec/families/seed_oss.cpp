// Seed-OSS: Llama whose biases on q, k and v, on the attention's output and in the MLP are chosen
// one by one.

#include "model/spec/families/family.h"

namespace dms::families {
namespace {

// What transformers assumes where the key is absent; an explicit null means hidden / query heads.
constexpr int64_t kDefaultHeadDim = 128;

}  // namespace

ModelSpec make_seed_oss(const JsonFields& config) {
  const int64_t head_dim = config.is_null("head_dim") ? 0 : kDefaultHeadDim;
  ModelSpec spec = llama_like(config, {.context = 524288, .kv_heads = 8, .head_dim = head_dim});
  spec.qkv_bias = config.boolean_or("attention_bias", true);
  spec.output_bias = config.boolean_or("attention_out_bias", false);
  spec.mlp_bias = config.boolean_or("mlp_bias", false);
  return spec;
}

}  // namespace dms::families
