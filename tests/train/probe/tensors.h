#pragma once
// A job's tensors, in and out.

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "train/data/batches.h"
#include "train/torch.h"

namespace dms::train::probe {

using Tensors = std::vector<std::pair<std::string, at::Tensor>>;

/// Writes those that are defined, float64 as F64 and all else as F32.
void write_tensors(const std::filesystem::path& path, const Tensors& tensors);

/// The job's "rows", with its "loss" marks or with every token marked.
std::vector<Sample> samples_of(const Json& job);

/// The job's "dtype".
at::ScalarType type_of(const Json& job);

}  // namespace dms::train::probe
