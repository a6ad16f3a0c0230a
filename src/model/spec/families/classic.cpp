#include "model/spec/families/classic.h"

#include <string>

#include "dms/error.h"
#include "model/spec/families/family.h"

namespace dms::families {
namespace {

constexpr int64_t kDefaultContext = 2048;

}  // namespace

ModelSpec classic(const JsonFields& config, const ClassicKeys& keys) {
  ModelSpec spec;
  spec.model_type = config.string("model_type");
  spec.layers = config.integer(keys.layers, 1, kMaxLayers);
  spec.hidden = config.integer(keys.hidden, 1, kMaxWidth);
  spec.q_heads = config.integer(keys.heads, 1, kMaxHeads);
  spec.kv_heads = spec.q_heads;
  spec.head_dim = spec.hidden / spec.q_heads;
  if (spec.head_dim * spec.q_heads != spec.hidden || spec.head_dim > kMaxHeadDim) {
    throw InputError({.where = config.where() + ": " + keys.heads,
                      .what = std::string("does not divide ") + keys.hidden,
                      .got = std::to_string(spec.q_heads),
                      .expected = "a divisor of " + std::to_string(spec.hidden)});
  }
  spec.vocab = config.integer("vocab_size", 1, kMaxVocab);
  read_context(config, keys.context, kDefaultContext, spec);
  spec.norm = NormKind::layer;
  spec.norm_has_bias = true;
  if (keys.norm_eps != nullptr) spec.norm_eps = config.number_or(keys.norm_eps, 1e-5, 0.0, 1.0);
  spec.gated_mlp = false;
  spec.tied_head = config.boolean_or("tie_word_embeddings", keys.tied_head);
  return spec;
}

}  // namespace dms::families
