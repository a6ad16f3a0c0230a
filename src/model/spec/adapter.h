#pragma once
// An eviction adapter apart from its base: a folder with adapter_config.json (the base's shape, and
// NVIDIA's dms_* keys, kvzap_* or triattention_* keys) and adapter.safetensors (the dms_proj_* or
// kvzap weights, or triattention's statistics).

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>
#include <vector>

#include "model/spec/weights.h"

namespace dms {

inline constexpr std::string_view kAdapterConfigFile = "adapter_config.json";
inline constexpr std::string_view kAdapterWeightsFile = "adapter.safetensors";
inline constexpr std::string_view kAdapterFormat = "dms-adapter";
inline constexpr int64_t kAdapterVersion = 1;

/// The weights that eviction adds to a base, of weight_names(spec).
std::vector<WeightName> adapter_weight_names(const ModelSpec& spec);

/// Gives `spec`, a plain model's, the settings of the adapter in `folder`. Throws InputError naming
/// file and field where the adapter is damaged or made for another family or shape, and where
/// `spec` already has trained eviction.
void apply_adapter(const std::filesystem::path& folder, ModelSpec& spec);

/// The adapter's weights; `spec` has had apply_adapter(). Throws InputError unless
/// adapter.safetensors holds exactly the tensors that this base needs.
std::unique_ptr<WeightSource> open_adapter(const std::filesystem::path& folder,
                                           const ModelSpec& spec);

/// The adapter's weights from `adapter`, all others from `base`.
std::unique_ptr<WeightSource> layer_weights(std::unique_ptr<WeightSource> base,
                                            std::unique_ptr<WeightSource> adapter);

}  // namespace dms
