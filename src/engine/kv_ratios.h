#pragma once
// What all models say of their memory in the same way.

#include "dms/cache.h"

namespace dms::engine {

/// Sets the ratios from the sums beside them; 1 where nothing is held.
inline void set_ratios(KvStats& stats) {
  const auto ratio = [](int64_t dense, int64_t held) {
    return dense > 0 && held > 0 ? static_cast<double>(dense) / static_cast<double>(held) : 1.0;
  };
  stats.cr = ratio(stats.dense_tokens, stats.held_tokens);
  stats.cr_bytes = ratio(stats.dense_bytes, stats.allocated_bytes);
}

}  // namespace dms::engine
