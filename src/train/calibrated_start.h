#pragma once
// A start for training: KVzap's linear scores (dms calibrate) as an adapter's decision logits,
// scale * (threshold - score). Before the first step the student evicts what KVzap would.

#include <filesystem>
#include <memory>

#include "model/spec/model_spec.h"
#include "model/spec/weights.h"

namespace dms::train {

/// The settings of the adapter in `scores`, made for `base`, a plain model. Throws InputError where
/// it belongs to another model or holds no linear scores of KVzap, and where the model has trained
/// eviction already or its attention reads something else than an RMS norm's output.
KvzapSpec start_settings(const ModelSpec& base, const std::filesystem::path& scores);

/// `base`, a plain model's folder, with an adapter for `spec`, which has alpha_bias.
std::unique_ptr<WeightSource> calibrated_start(const std::filesystem::path& base,
                                               const std::filesystem::path& scores,
                                               const ModelSpec& spec,
                                               double scale);

}  // namespace dms::train
