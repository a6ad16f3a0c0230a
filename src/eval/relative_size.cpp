#include "eval/relative_size.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <string>

namespace dms::eval {
namespace {

constexpr double kWhole = 100;

std::optional<double> percent_of(std::string_view argument) {
  if (!argument.ends_with('%')) return std::nullopt;
  argument.remove_suffix(1);
  double value = 0;
  const char* const end = argument.data() + argument.size();
  const auto [stop, error] = std::from_chars(argument.data(), end, value);
  if (error != std::errc() || stop != end) return std::nullopt;
  return value;
}

}  // namespace

bool is_share(std::string_view name, std::string_view argument) {
  return argument.ends_with('%') && (name.ends_with("budget") || name.ends_with("size"));
}

bool is_valid_share(std::string_view argument) {
  const std::optional<double> percent = percent_of(argument);
  return percent && *percent > 0 && *percent < kWhole;
}

CacheOptions sized_for(CacheOptions cache, int64_t tokens) {
  for (auto& [name, value] : cache.policy_args) {
    const std::optional<double> percent = is_share(name, value) ? percent_of(value) : std::nullopt;
    if (!percent) continue;
    const int64_t size = std::llround(*percent / kWhole * static_cast<double>(tokens));
    value = std::to_string(std::max<int64_t>(size, 1));
  }
  return cache;
}

}  // namespace dms::eval
