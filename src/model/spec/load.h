#pragma once
// Opening a model folder: config.json and DMS metadata to a ModelSpec, and its weights.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "dms/model_info.h"
#include "model/spec/weights.h"

namespace dms {

/// Reads `folder`/config.json, generation_config.json and the DMS metadata (semantics.md section
/// 1). Throws InputError naming file, field, got and expected.
ModelSpec load_spec(const std::filesystem::path& folder, MetadataScope scope);

/// The spec of a config.json alone (for --random-weights).
ModelSpec load_spec_from_config(const std::filesystem::path& config_file);

/// Adds a token that ends a text to the spec's, where the model has it: many a fine-tune names the
/// one that ends its turns in the tokenizer's files only.
void add_end_token(ModelSpec& spec, std::optional<int32_t> id);

/// The folder's safetensors, single or sharded by index. Checks that every weight of `spec` is
/// there with the right shape, in the file that the index names, before returning. Throws
/// InputError otherwise.
std::unique_ptr<WeightSource> open_checkpoint(const std::filesystem::path& folder,
                                              const ModelSpec& spec);

/// One safetensors file. Checks that each of `weights` is there with the right shape. Throws
/// InputError otherwise.
std::unique_ptr<WeightSource> open_weight_file(const std::filesystem::path& file,
                                               std::span<const WeightName> weights);

/// Random weights of a sensible scale (norms at 1, biases at 0, matrices uniform with standard
/// deviation 1 / sqrt(columns)), the same for the same seed whatever the order of reading.
std::unique_ptr<WeightSource> random_weights(const ModelSpec& spec, uint64_t seed);

/// Supported values of config.json's model_type.
std::span<const std::string_view> supported_model_types();

/// Number of parameters in all weights of `spec` (a tied head counted once).
int64_t parameter_count(const ModelSpec& spec);

}  // namespace dms
