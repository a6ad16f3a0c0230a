#include "train/patterns.h"

#include <algorithm>

namespace dms::train {

/// Each * takes as little as it can; only the last one is ever extended, so that the work is at
/// most the product of the lengths.
bool matches(std::string_view pattern, std::string_view name) {
  size_t p = 0;
  size_t n = 0;
  size_t star = std::string_view::npos;
  size_t star_name = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      star_name = n;
    } else if (p < pattern.size() && pattern[p] == name[n]) {
      ++p;
      ++n;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      n = ++star_name;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == std::string_view::npos;
}

bool names_weight(std::string_view pattern, const WeightName& weight) {
  return pattern == "all" || (pattern == "adapter" && is_adapter(weight.role)) ||
         matches(pattern, weight.name);
}

bool is_trained(const WeightName& weight, std::span<const std::string> patterns) {
  return std::ranges::any_of(
      patterns, [&](const std::string& pattern) { return names_weight(pattern, weight); });
}

}  // namespace dms::train
