#pragma once
// Trained eviction's settings as NVIDIA's config.json and FastDMS's dms_metadata.json spell them
// (semantics.md section 1); what src/model/spec/dms_metadata.h reads.

#include "base/json.h"
#include "model/spec/model_spec.h"

namespace dms::train {

/// FastDMS's form says what no dms_* key can: the borrowed channel is zeroed before RoPE only.
bool has_fastdms_form(const DmsSpec& dms);

/// Takes every setting of trained eviction out of a config.json.
void remove_dms_keys(Json& config);

/// Adds NVIDIA's keys. `tau`: the last temperature of training.
void add_dms_keys(const DmsSpec& dms, double tau, Json& config);

/// dms_metadata.json. Throws InputError for settings that this form cannot hold.
Json fastdms_metadata(const DmsSpec& dms);

}  // namespace dms::train
