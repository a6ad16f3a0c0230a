#pragma once
// Which entries of ADMS's middle stay exact, and how much of it is whose: semantics.md section 4,
// items 2 and 6.

#include <cstdint>
#include <span>
#include <vector>

#include "cache/policy.h"
#include "policy/adms/merging.h"

namespace dms::policy {

/// What says how much an entry matters. Mixed: value_norm and key_norm, each over its mean.
enum class ImportanceMetric { value_norm, key_norm, mixed, attention };

/// For each entry of a head.
std::vector<float> importance_of(ImportanceMetric metric, const cache::HeadContents& head);

/// How a head's exact entries are chosen.
struct Coverage {
  double priority = 0.3;  // of those that stay, so many are
  int64_t segments = 4;   // the best of as many equal stretches of the middle
};

/// 1: the entry goes; `kept` stay. Of equals the later one stays.
std::vector<uint8_t> least_important(std::span<const int32_t> positions,
                                     std::span<const float> importance,
                                     int64_t kept,
                                     const Middle& middle,
                                     const Coverage& coverage);

/// `total` entries over heads in proportion to the variance of each one's importance, all alike
/// where nothing varies: none less than `least`, and none more than `most` says of it, beyond which
/// the others get its share. No more in all than all of `most`.
std::vector<int64_t> budgets_by_variance(std::span<const std::span<const float>> importance,
                                         int64_t total,
                                         int64_t least,
                                         std::span<const int64_t> most);

}  // namespace dms::policy
