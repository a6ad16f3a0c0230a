#include "dms/kept_tokens.h"

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "dms/error.h"
#include "policy/traits.h"
#include "policy/triattention.h"

namespace dms {
namespace {

/// A setting that is given.
struct Given {
  std::string field;  // "window_tokens", "policy_args.budget"
  policy::KeptSetting setting;
  int64_t value = 0;

  int64_t tokens() const { return value / setting.divisor; }
  std::string text() const {
    return std::string(setting.name) + " " + std::to_string(value) +
           (setting.divisor > 1 ? " / " + std::to_string(setting.divisor) : "");
  }
};

std::optional<Given> given_setting(const policy::KeptSetting& setting,
                                   const CacheOptions& options) {
  if (setting.name == "window" && options.window_tokens) {
    return Given{"window_tokens", setting, *options.window_tokens};
  }
  const auto value = policy::given_integer(options.policy_args, setting.name);
  if (!value) return std::nullopt;
  return Given{"policy_args." + std::string(setting.name), setting, *value};
}

std::vector<Given> given_settings(const policy::Traits& traits, const CacheOptions& options) {
  std::vector<Given> given;
  bool is_one_of_several = false;  // that are given, of those that stand beside each other
  for (const policy::KeptSetting& setting : traits.kept) {
    is_one_of_several &= setting.is_beside_last;
    auto found = given_setting(setting, options);
    if (!found) continue;
    if (!is_one_of_several) {
      given.push_back(std::move(*found));
    } else if (found->tokens() > given.back().tokens()) {
      given.back() = std::move(*found);
    }
    is_one_of_several = true;
  }
  return given;
}

/// One of policy_args as it is given; empty: it is not.
std::string argument(const CacheOptions& options, const std::string& name) {
  const auto found = options.policy_args.find(name);
  return found == options.policy_args.end() ? std::string() : found->second;
}

bool is_switched_off(const CacheOptions& options) {
  const std::string given = argument(options, "disable_eviction");
  return given == "true" || given == "1";
}

}  // namespace

void require_eviction(std::string_view policy, const CacheOptions& options, int64_t tokens) {
  const std::vector<Given> given =
      given_settings(policy::traits_of(policy, options.policy_args), options);
  if (given.empty() || is_switched_off(options)) return;
  const Given& largest = *std::ranges::max_element(given, {}, &Given::tokens);
  const bool is_enough = largest.tokens() >= tokens;
  int64_t left = tokens;
  std::string sum;
  for (const Given& setting : given) {
    left -= std::min(setting.tokens(), left);  // the sum may be too large for a number
    sum += (sum.empty() ? "" : " + ") + setting.text();
  }
  if (left > 0) return;
  const policy::KeptSetting& setting = largest.setting;
  throw InputError({.field = largest.field,
                    .what = "keeps every token",
                    .got = is_enough ? std::to_string(largest.value) : sum,
                    .expected = is_enough ? std::to_string(setting.least) + " to " +
                                                std::to_string(tokens * setting.divisor - 1)
                                          : "fewer than " + std::to_string(tokens) + " together"});
}

std::string_view note_on_prompt(std::string_view policy,
                                const CacheOptions& options,
                                int64_t tokens) {
  if (policy != "triattention") return {};
  const policy::PolicyArgs& args = options.policy_args;
  const int64_t budget =
      policy::given_integer(args, "budget").value_or(policy::kTriAttentionBudget);
  if (!policy::counts_prompts(args) || tokens < budget) return {};
  return "triattention: the prompt fills the budget: at every cut the whole answer goes, its "
         "newest "
         "tokens too; a larger budget or count_prompt_tokens=false leaves it room";
}

}  // namespace dms
