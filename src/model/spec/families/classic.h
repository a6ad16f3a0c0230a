#pragma once
// The common ground of the families before Llama: LayerNorm, a plain MLP, and as many KV heads as
// query heads, which share the hidden size.

#include "base/json.h"
#include "model/spec/model_spec.h"

namespace dms::families {

/// Names in config.json, and what is assumed where a key is absent.
struct ClassicKeys {
  const char* layers = "num_hidden_layers";
  const char* hidden = "hidden_size";
  const char* heads = "num_attention_heads";
  const char* context = "max_position_embeddings";
  const char* norm_eps = nullptr;  // null: 1e-5
  bool tied_head = false;
};

/// Throws InputError on a missing or absurd field. What positions and MLP are is the family's.
ModelSpec classic(const JsonFields& config, const ClassicKeys& keys);

}  // namespace dms::families
