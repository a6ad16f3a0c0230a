#pragma once
// RoPE settings in both of config.json's forms: transformers 4 (rope_theta beside rope_scaling) and
// 5 (rope_parameters).

#include "base/json.h"
#include "model/spec/model_spec.h"

namespace dms {

/// What families name and assume otherwise.
struct RopeKeys {
  const char* theta = "rope_theta";      // beside the sizes
  const char* partial_factor = nullptr;  // likewise; null: whole heads turn
  double default_theta = 10000.0;
  double default_partial_factor = 1.0;
  // Of a length before scaling beside the sizes, which is assumed to be there; 0: it is not.
  int64_t default_original_context = 0;
  double default_local_theta = 0.0;  // layers with a sliding window turn otherwise; 0: as all do
};

/// Fills spec.rope from `config`, and spec.local_rope where layers with a sliding window have their
/// own; needs spec.head_dim and, as config.json states it, spec.context, which becomes the length
/// that the scaling is meant for. What is replaced or ignored goes to spec.notes. Throws InputError
/// on unknown scalings.
void read_rope(const JsonFields& config, ModelSpec& spec, const RopeKeys& keys = {});

}  // namespace dms
