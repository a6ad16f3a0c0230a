#include "train/trainable.h"

#include <string>

#include "dms/error.h"

namespace dms::train {

void require_trainable(const ModelSpec& spec) {
  const auto refuse_if = [&](bool asked_for, const char* feature) {
    if (!asked_for) return;
    throw InputError({.where = "config.json: model_type " + spec.model_type,
                      .what = std::string("the trainer does not compute ") + feature + " yet"});
  };
  refuse_if(spec.position == PositionKind::alibi, "ALiBi");
  refuse_if(spec.attention_soft_cap != 0.0 || spec.logit_soft_cap != 0.0, "soft caps");
  refuse_if(spec.qk_norm_whole, "norms over all heads");
  refuse_if(spec.qkv_clip != 0.0, "clamped q, k and v");
}

}  // namespace dms::train
