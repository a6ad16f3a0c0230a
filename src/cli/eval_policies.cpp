#include "cli/eval_policies.h"

#include <algorithm>
#include <charconv>
#include <exception>
#include <limits>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "cli/bench_policy.h"
#include "cli/file_state.h"
#include "cli/options.h"
#include "cli/parse.h"
#include "dms/error.h"
#include "eval/relative_size.h"

namespace dms::cli {
namespace {

constexpr const char* kOption = "--policies";
constexpr int64_t kMaxLayers = int64_t{1} << 16;

/// Takes a setting out of the policy's own.
std::optional<std::string> take(CacheOptions& cache, const std::string& name) {
  const auto found = cache.policy_args.find(name);
  if (found == cache.policy_args.end()) return std::nullopt;
  std::string value = std::move(found->second);
  cache.policy_args.erase(found);
  return value;
}

eval::Contender contender_of(const BenchPolicy& policy, const std::string& option) {
  eval::Contender contender{.label = policy.label, .cache = policy.cache};
  CacheOptions& cache = contender.cache;
  const std::string where = fmt::format("{}: {}", option, policy.label);
  if (policy.label == "none") {
    cache.kv_dtype.clear();
    cache.kv_exact_layers = 0;
  }
  if (auto type = take(cache, "kv_dtype")) {
    std::ranges::replace(*type, ';', ',');
    cache.kv_dtype = *type;
  }
  if (const auto layers = take(cache, "kv_exact_layers")) {
    cache.kv_exact_layers = parse_integer(where, *layers, 0, kMaxLayers);
  }
  if (const auto window = take(cache, "window")) {
    cache.window_tokens = parse_integer(where, *window, 0, kMaxTokens);
  }
  if (auto weights = take(cache, "weights")) contender.variant.weights = std::move(*weights);
  if (auto adapter = take(cache, "adapter")) {
    contender.variant.adapter = std::move(*adapter);
    contender.files = state_of_files(contender.variant.adapter);
  }
  for (const auto& [name, value] : cache.policy_args) {
    if (!eval::is_share(name, value) || eval::is_valid_share(value)) continue;
    throw InputError({.where = where,
                      .field = name,
                      .what = "no share of a text",
                      .got = value,
                      .expected = "above 0% and below 100%"});
  }
  return contender;
}

/// Rethrows what is wrong with a policy as that policy's.
[[noreturn]] void refuse(const eval::Contender& contender,
                         const InputError& error,
                         const std::string& option) {
  ErrorParts parts = error.parts();
  parts.where = fmt::format("{}: {}", option, contender.label);
  if (parts.field.starts_with("policy_args.")) {
    parts.field = parts.field.substr(std::string_view("policy_args.").size());
  } else if (parts.field.starts_with("policy")) {
    parts.field.clear();
  }
  throw InputError(parts);
}

[[noreturn]] void refuse(const eval::Contender& contender,
                         const std::string& setting,
                         const std::string& got,
                         const std::string& expected,
                         const std::string& hint) {
  throw InputError({.where = fmt::format("{}: {}", kOption, contender.label),
                    .field = setting,
                    .what = "takes nothing, or all, of a prompt",
                    .got = got,
                    .expected = expected,
                    .hint = hint});
}

std::optional<int64_t> number_of(const CacheOptions& cache, const std::string& setting) {
  const auto found = cache.policy_args.find(setting);
  if (found == cache.policy_args.end()) return std::nullopt;
  const std::string& text = found->second;
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// What the policy itself allows and an evaluation has no use for: a size from which none of the
/// `ranked` tokens would go. Shares are of `tokens`, of which those may be the first.
void check_size(const eval::Contender& contender,
                const CacheOptions& sized,
                const std::string& setting,
                int64_t ranked,
                int64_t tokens) {
  const std::optional<int64_t> size = number_of(sized, setting);
  if (!size || *size < ranked) return;
  const bool is_share = eval::is_share(setting, contender.cache.policy_args.at(setting));
  const std::string hint =
      is_share && ranked < tokens
          ? fmt::format(
                "shares are of the {} tokens of --context, of which the first {} are "
                "compressed: less than {}%, or a smaller --stride",
                tokens,
                ranked,
                100 * ranked / tokens)
          : "";
  const int64_t least = setting == "budget" ? 1 : 0;
  refuse(contender,
         setting,
         fmt::format("{}", *size),
         fmt::format("{} to {}", least, ranked - 1),
         hint);
}

bool has_own_window(const eval::Contender& contender) {
  return contender.label.find(":window=") != std::string::npos;
}

/// The plan; whether the policy leaves the window that all share goes to `is_left`.
CachePlan plan_of(const ModelSource& source,
                  eval::Contender& contender,
                  int64_t tokens,
                  const std::string& option,
                  bool& is_left) {
  try {
    std::exception_ptr refusal;
    CacheOptions sized = eval::sized_for(contender.cache, tokens);
    CachePlan plan = plan_cache(source, sized, refusal);
    contender.cache.window_tokens = sized.window_tokens;
    is_left = refusal != nullptr;
    if (is_left && has_own_window(contender)) std::rethrow_exception(refusal);
    return plan;
  } catch (const InputError& error) {
    refuse(contender, error, option);
  }
}

}  // namespace

std::vector<eval::Contender> parse_contenders(const std::string& text,
                                              const CacheOptions& shared,
                                              const std::string& option) {
  std::vector<eval::Contender> contenders;
  const std::vector<BenchPolicy> policies = parse_bench_policies(text, shared, option);
  const bool has_forced = std::ranges::any_of(
      policies, [](const BenchPolicy& policy) { return policy.cache.policy == "forced"; });
  for (const BenchPolicy& policy : policies) {
    const bool is_twice =
        std::ranges::find(contenders, policy.label, &eval::Contender::label) != contenders.end();
    if (is_twice) {
      throw InputError({.where = option, .what = "stands there twice", .got = policy.label});
    }
    contenders.push_back(contender_of(policy, option));
    CacheOptions& cache = contenders.back().cache;
    if (has_forced && cache.policy != "forced") cache.decisions_file.clear();
  }
  return contenders;
}

int64_t plan_contenders(const SourceOf& source_of,
                        std::vector<eval::Contender>& contenders,
                        int64_t tokens,
                        const std::string& option) {
  int64_t longest = std::numeric_limits<int64_t>::max();
  size_t left = 0;
  for (eval::Contender& contender : contenders) {
    const auto window = contender.cache.window_tokens;
    bool is_left = false;
    longest = std::min(
        longest,
        plan_of(source_of(contender.variant), contender, tokens, option, is_left).max_tokens);
    left += is_left ? 1 : 0;
    if (left == contenders.size()) {
      throw InputError({.where = "--window",
                        .what = "no policy of the list has one",
                        .got = fmt::format("{}", *window)});
    }
  }
  return longest;
}

void check_sizes(const std::vector<eval::Contender>& contenders, int64_t prompt, int64_t tokens) {
  for (const eval::Contender& contender : contenders) {
    const std::string& policy = contender.cache.policy;
    const CacheOptions sized = eval::sized_for(contender.cache, tokens);
    const bool is_continuous = policy == "h2o" || policy == "tova" || policy == "streaming";
    for (const char* setting : {"budget", "recent_size"}) {
      check_size(contender, sized, setting, is_continuous ? tokens : prompt, tokens);
    }
  }
}

}  // namespace dms::cli
