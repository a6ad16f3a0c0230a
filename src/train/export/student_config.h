#pragma once
// A student's config.json: its base's, with eviction's settings, the weights' type, and what
// NVIDIA's code needs to find its classes.

#include <optional>

#include "base/dtype.h"
#include "base/json.h"
#include "model/spec/model_spec.h"

namespace dms::train {

struct StudentConfigOptions {
  std::optional<DmsSpec> dms{};  // none: a plain model
  double tau = 0.1;
  DType dtype = DType::bf16;
};

/// NVIDIA's code has one family, takes each fate from the token after it and zeroes a borrowed
/// channel after RoPE too: only such a student is given its auto_map.
bool runs_in_nvidia_code(std::string_view model_type, const std::optional<DmsSpec>& dms);

Json student_config(const Json& base, const StudentConfigOptions& options);

}  // namespace dms::train
