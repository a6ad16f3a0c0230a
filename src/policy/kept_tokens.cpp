#include "dms/kept_tokens.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "dms/error.h"

namespace dms {
namespace {

constexpr std::string_view kWindow = "window";

/// What adds up to the entries that a head holds at least; a policy that is not here has a budget.
struct KeptSettings {
  std::string_view policy;
  std::array<std::string_view, 3> settings;  // those that are empty are none
};

constexpr std::array kKept{
    KeptSettings{"streaming", {"recent_size", "start_size"}},
    KeptSettings{"adms", {"recent_size", "start_size", "compressed_budget"}},
    KeptSettings{"dms", {kWindow, "n_sink"}},
    KeptSettings{"kvzap", {kWindow, "n_sink"}},
    KeptSettings{"random", {kWindow}},
    KeptSettings{"forced", {kWindow}},
};

constexpr KeptSettings kBudget{"", {"budget"}};

/// A setting that is given.
struct Given {
  std::string field;  // "window_tokens", "policy_args.budget"
  std::string name;
  int64_t tokens = 0;
};

std::optional<int64_t> whole_number(const std::string& text) {
  int64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end) return std::nullopt;
  return value;
}

std::vector<Given> given_settings(const KeptSettings& kept, const CacheOptions& options) {
  std::vector<Given> given;
  for (const std::string_view setting : kept.settings) {
    const std::string name(setting);
    if (setting == kWindow && options.window_tokens) {
      given.push_back({"window_tokens", name, *options.window_tokens});
      continue;
    }
    const auto found = options.policy_args.find(name);
    if (found == options.policy_args.end()) continue;
    if (const auto tokens = whole_number(found->second)) {
      given.push_back({"policy_args." + name, name, *tokens});
    }
  }
  return given;
}

bool is_switched_off(const CacheOptions& options) {
  const auto found = options.policy_args.find("disable_eviction");
  return found != options.policy_args.end() && (found->second == "true" || found->second == "1");
}

}  // namespace

void require_eviction(std::string_view policy, const CacheOptions& options, int64_t tokens) {
  const auto* const found = std::ranges::find(kKept, policy, &KeptSettings::policy);
  const std::vector<Given> given = given_settings(found == kKept.end() ? kBudget : *found, options);
  if (policy == "none" || given.empty() || is_switched_off(options)) return;
  const Given& largest = *std::ranges::max_element(given, {}, &Given::tokens);
  const bool is_enough = largest.tokens >= tokens;
  int64_t left = tokens;
  std::string sum;
  for (const Given& setting : given) {
    left -= std::min(setting.tokens, left);  // the sum may be too large for a number
    sum += (sum.empty() ? "" : " + ") + setting.name + " " + std::to_string(setting.tokens);
  }
  if (left > 0) return;
  const std::string least = largest.name == "budget" ? "1" : "0";
  throw InputError({.field = largest.field,
                    .what = "keeps every token",
                    .got = is_enough ? std::to_string(largest.tokens) : sum,
                    .expected = is_enough ? least + " to " + std::to_string(tokens - 1)
                                          : "fewer than " + std::to_string(tokens) + " together"});
}

}  // namespace dms
