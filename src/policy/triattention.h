#pragma once

#include <cstdint>

namespace dms::policy {

/// Entries a head, of prompts and answers, unless told otherwise.
inline constexpr int64_t kTriAttentionBudget = 2048;

}  // namespace dms::policy
