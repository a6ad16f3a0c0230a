#pragma once
// Which weights `dms.train` names.

#include <span>
#include <string>
#include <string_view>

#include "model/spec/weights.h"

namespace dms::train {

/// Does `name` match `pattern`, in which * stands for any run of characters?
bool matches(std::string_view pattern, std::string_view name);

/// "adapter", "all", or a pattern of weight names.
bool names_weight(std::string_view pattern, const WeightName& weight);

bool is_trained(const WeightName& weight, std::span<const std::string> patterns);

}  // namespace dms::train
