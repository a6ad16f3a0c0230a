#pragma once
// What config.json's fields mean, whatever file they come from.

#include <cstdint>

#include "base/json.h"
#include "model/spec/model_spec.h"

namespace dms {

inline constexpr int64_t kMaxConfigBytes = int64_t{16} << 20;

/// Everything that the fields of a config.json say by themselves. Throws InputError for an unknown
/// family and for absurd values.
ModelSpec spec_of(const JsonFields& config);

}  // namespace dms
