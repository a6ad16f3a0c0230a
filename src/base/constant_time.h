#pragma once
// Comparing secrets so that the time it takes tells nothing of where they differ.

#include <string_view>

namespace dms {

/// `secret == offered`, in a time that depends on the length of `offered` alone.
bool equal_in_constant_time(std::string_view secret, std::string_view offered);

}  // namespace dms
