#pragma once
// Which scheme of quantised weights a folder's config.json announces ("quantization_config").

#include <optional>

#include "base/json.h"
#include "model/spec/model_spec.h"

namespace dms {

/// Nothing where the weights are plain numbers. Throws InputError naming the setting that asks for
/// what is not supported.
std::optional<Quantisation> read_quantisation(const JsonFields& config);

}  // namespace dms
