#include "cli/eval_policies.h"

#include <algorithm>
#include <exception>
#include <optional>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "cli/adapter_use.h"
#include "cli/bench_policy.h"
#include "cli/file_state.h"
#include "cli/options.h"
#include "cli/parse.h"
#include "dms/error.h"
#include "dms/kept_tokens.h"
#include "dms/policy_traits.h"
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

int64_t whole_number(const std::string& where,
                     const char* setting,
                     const std::string& text,
                     int64_t most) {
  try {
    return parse_integer(where, text, 0, most);
  } catch (const InputError& error) {
    ErrorParts parts = error.parts();
    parts.what = fmt::format("{}: {}", setting, parts.what);
    throw InputError(parts);
  }
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
    cache.kv_exact_layers = whole_number(where, "kv_exact_layers", *layers, kMaxLayers);
  }
  if (const auto window = take(cache, "window")) {
    cache.window_tokens = whole_number(where, "window", *window, kMaxTokens);
  }
  if (auto weights = take(cache, "weights")) contender.variant.weights = std::move(*weights);
  if (auto adapter = take(cache, "adapter")) {
    contender.variant.adapter = std::move(*adapter);
    contender.files = content_of(contender.variant.adapter);
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

bool has_own_window(const eval::Contender& contender) {
  return contender.label.find(":window=") != std::string::npos;
}

/// Rethrows what is wrong with a policy as that policy's. Its setting is said in words: an option
/// of the same name (--seed) is another thing.
[[noreturn]] void refuse(const eval::Contender& contender,
                         const InputError& error,
                         const std::string& option) {
  constexpr std::string_view kArgument = "policy_args.";
  ErrorParts parts = error.parts();
  parts.where = fmt::format("{}: {}", option, contender.label);
  std::string setting = std::exchange(parts.field, "");
  if (setting.starts_with(kArgument)) {
    setting = setting.substr(kArgument.size());
  } else if (setting.starts_with("policy")) {
    setting.clear();
  } else if (setting == "window_tokens" && has_own_window(contender)) {
    setting = "window";
  }
  if (!setting.empty()) parts.what = fmt::format("{}: {}", setting, parts.what);
  throw InputError(parts);
}

/// Where shares of the whole text come to more than is compressed of it.
std::string hint_of(const eval::Contender& contender, int64_t ranked, int64_t tokens) {
  const auto is_share = [](const auto& setting) {
    return eval::is_share(setting.first, setting.second);
  };
  if (ranked == tokens || std::ranges::none_of(contender.cache.policy_args, is_share)) return "";
  return fmt::format(
      "shares are of the {} tokens of --context, of which the first {} are compressed: less than "
      "{}%, or a smaller --stride",
      tokens,
      ranked,
      100 * ranked / tokens);
}

/// Of how many tokens it evicts.
int64_t ranked_of(const eval::Contender& contender,
                  int64_t tokens,
                  std::span<const AppendedText> texts) {
  const CacheOptions sized = eval::sized_for(contender.cache, tokens);
  int64_t ranked = texts.empty() ? tokens : 0;
  for (const AppendedText& text : texts) {
    ranked = std::max(ranked, compressed_tokens(sized, text));
  }
  return ranked;
}

/// Some take an adapter's window without its eviction.
void refuse_idle_adapter(const eval::Contender& contender, const ModelInfo& info) {
  if (reads_adapter(contender.cache, info)) return;
  const AdapterPart part = adapter_part_of(contender.cache);
  const char* const found = info.dms     ? "one of dms"
                            : info.kvzap ? "one of kvzap"
                                         : "one of triattention";
  const char* const expected = part == AdapterPart::none      ? "none"
                               : part == AdapterPart::queries ? "one of triattention"
                                                              : "one of dms or kvzap";
  throw InputError({.field = "adapter",
                    .what = "has no effect on this policy",
                    .got = found,
                    .expected = expected});
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
    if (!contender.variant.adapter.empty()) refuse_idle_adapter(contender, source.info());
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

LongestTexts plan_contenders(const SourceOf& source_of,
                             std::vector<eval::Contender>& contenders,
                             int64_t tokens,
                             const std::string& option) {
  LongestTexts longest;
  size_t left = 0;
  for (eval::Contender& contender : contenders) {
    const auto window = contender.cache.window_tokens;
    const ModelSource& source = source_of(contender.variant);
    bool is_left = false;
    longest.each.push_back(plan_of(source, contender, tokens, option, is_left).max_tokens);
    // A policy that needs room of its own holds less than the model could.
    const int64_t whole = std::max(longest.each.back(), source.info().context);
    longest.model = std::min(longest.model, whole);
    left += is_left ? 1 : 0;
    if (left == contenders.size()) {
      throw InputError({.where = "--window",
                        .what = "no policy of the list has one",
                        .got = fmt::format("{}", *window)});
    }
  }
  return longest;
}

int64_t LongestTexts::all() const { return std::min(model, *std::ranges::min_element(each)); }

void require_length(const LongestTexts& longest,
                    const std::vector<eval::Contender>& contenders,
                    int64_t tokens,
                    const std::string& where) {
  if (tokens > longest.model) {
    throw InputError({.where = where,
                      .what = "longer than the model's context",
                      .got = fmt::format("{}", tokens),
                      .expected = fmt::format("at most {}", longest.model)});
  }
  for (size_t i = 0; i < contenders.size(); ++i) {
    require_length(contenders[i], longest.each[i], tokens, kOption);
  }
}

void require_length(const eval::Contender& contender,
                    int64_t longest,
                    int64_t tokens,
                    const std::string& option) {
  if (tokens <= longest) return;
  throw InputError({.where = fmt::format("{}: {}", option, contender.label),
                    .what = "longer than what the policy holds in the model's context",
                    .got = fmt::format("{}", tokens),
                    .expected = fmt::format("at most {}", longest),
                    .hint = "it has the model repeat a text in the same context"});
}

void check_sizes(const std::vector<eval::Contender>& contenders,
                 int64_t tokens,
                 std::span<const AppendedText> texts,
                 const std::string& option) {
  for (const eval::Contender& contender : contenders) {
    const int64_t ranked = ranked_of(contender, tokens, texts);
    try {
      require_eviction(contender.cache.policy, eval::sized_for(contender.cache, tokens), ranked);
    } catch (const InputError& error) {
      ErrorParts parts = error.parts();
      parts.hint = hint_of(contender, ranked, tokens);
      refuse(contender, InputError(parts), option);
    }
  }
}

}  // namespace dms::cli
