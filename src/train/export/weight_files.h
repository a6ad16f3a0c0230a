#pragma once
// A model's weights as Hugging Face writes them: model.safetensors, or shards and their index.

#include <cstdint>
#include <filesystem>
#include <span>

#include "base/dtype.h"
#include "model/spec/weights.h"

namespace dms::train {

struct WeightFileOptions {
  DType dtype = DType::bf16;
  int64_t max_shard_bytes = 5'000'000'000;  // of tensors in one file; a larger tensor stands alone
};

/// Reads each weight once, in order, some rows at a time, and releases it. Throws what the source
/// throws, and RunError when the disk is full.
void write_weight_files(const std::filesystem::path& folder,
                        std::span<const WeightName> weights,
                        const WeightSource& source,
                        const WeightFileOptions& options);

/// One file of these weights.
void write_weight_file(const std::filesystem::path& file,
                       std::span<const WeightName> weights,
                       const WeightSource& source,
                       DType dtype);

}  // namespace dms::train
