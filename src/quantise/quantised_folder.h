#pragma once
// Writes a model as a folder of quantised weights that this engine, vLLM and transformers open:
// compressed-tensors' "pack-quantized", symmetric, a scale for each group of 32 inputs.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>

#include "kernels/weight_format.h"
#include "model/spec/weights.h"
#include "quantise/feedback_rounding.h"

namespace dms::quantise {

struct FolderOptions {
  kernels::WeightFormat format = kernels::WeightFormat::int4;  // or int8
  /// How the weight is to be rounded, or null: by itself. Weights are asked for in the order of
  /// weight_names().
  std::function<std::shared_ptr<const FeedbackRounding>(const WeightName&)> rounding{};
  std::function<void(int64_t done, int64_t total)> progress{};  // weights
};

/// Throws InputError where `out` holds something else than an earlier result, or a weight's columns
/// are no multiple of 32.
void check_quantised_folder(const std::filesystem::path& out, const ModelSpec& spec);

/// The linear layers of `source` as codes; the embedding and the head in bf16; norms, biases and
/// decision projections in float32; tokenizer and settings as in `model`. The folder appears whole
/// or not at all. Uses the caller's threads. Throws as check_quantised_folder(), InputError where a
/// weight is not finite, RunError when the disk is full.
void write_quantised_folder(const std::filesystem::path& model,
                            const std::filesystem::path& out,
                            const ModelSpec& spec,
                            const WeightSource& source,
                            const FolderOptions& options);

}  // namespace dms::quantise
