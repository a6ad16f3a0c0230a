#include "train/trainable.h"

#include <algorithm>
#include <string>

#include "dms/error.h"

namespace dms::train {

void require_trainable(const ModelSpec& spec) {
  const auto refuse_if = [&](bool asked_for, const char* feature) {
    if (!asked_for) return;
    throw InputError({.where = "config.json: model_type " + spec.model_type,
                      .what = std::string("the trainer does not compute ") + feature + " yet"});
  };
  refuse_if(spec.position != PositionKind::rope, "ALiBi or learned positions");
  refuse_if(spec.local_rope.has_value(), "layers that turn in different ways");
  refuse_if(std::ranges::find(spec.unrotated, uint8_t{1}) != spec.unrotated.end(),
            "layers without positions");
  refuse_if(spec.attention_soft_cap != 0.0 || spec.logit_soft_cap != 0.0, "soft caps");
  refuse_if(spec.post_norms, "norms of what a sub-layer adds");
  refuse_if(spec.norm_offset != 0.0, "norms whose weights count from one");
  refuse_if(spec.embedding_scale != 1.0, "scaled embeddings");
  refuse_if(spec.parallel_residual, "parallel residuals");
  refuse_if(spec.qk_norm_whole, "norms over all heads");
  refuse_if(spec.norm_after, "norms after the sub-layers");
  refuse_if(spec.norm == NormKind::layer, "LayerNorm");
  refuse_if(spec.qkv_layout != QkvLayout::separate, "fused QKV");
  refuse_if(spec.fused_gate_up, "gate and up in one tensor");
  refuse_if(spec.embedding_dim != 0, "projected embeddings");
  refuse_if(spec.qkv_clip != 0.0, "clamped q, k and v");
}

}  // namespace dms::train
