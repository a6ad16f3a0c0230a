#include <algorithm>
#include <array>

#include "base/suggest.h"
#include "dms/error.h"
#include "dms/kept_tokens.h"
#include "policy/policy.h"

namespace dms::policy {
namespace {

struct Entry {
  std::string_view name;
  PolicyPtr (*make)(const PolicyRequest&);
};

constexpr std::array kPolicies{
    Entry{"none", make_none},
    Entry{"dms", make_dms},
    Entry{"streaming", make_streaming},
    Entry{"adms", make_adms},
    Entry{"forced", make_forced},
    Entry{"random", make_random},
    Entry{"knorm", make_knorm},
    Entry{"keydiff", make_keydiff},
    Entry{"lagkv", make_lagkv},
    Entry{"snapkv", make_snapkv},
    Entry{"tova", make_tova},
    Entry{"h2o", make_h2o},
    Entry{"expected_attention", make_expected_attention},
    Entry{"compactor", make_compactor},
    Entry{"rkv", make_rkv},
    Entry{"criticalkv", make_criticalkv},
    Entry{"adaptive", make_adaptive},
    Entry{"chunked", make_chunked},
    Entry{"kvzap", make_kvzap},
    Entry{"kvzip", make_kvzip},
    Entry{"kvzip_plus", make_kvzip_plus},
    Entry{"triattention", make_triattention},
};

constexpr auto kNames = [] {
  std::array<std::string_view, kPolicies.size()> names{};
  for (size_t i = 0; i < names.size(); ++i) names[i] = kPolicies[i].name;
  return names;
}();

std::string joined_names() {
  std::string text;
  for (std::string_view name : kNames) text += (text.empty() ? "" : ", ") + std::string(name);
  return text;
}

}  // namespace

std::span<const std::string_view> policy_names() { return kNames; }

PolicyPtr make_policy(std::string_view name, const PolicyRequest& request) {
  const auto* entry = std::ranges::find(kPolicies, name, &Entry::name);
  if (entry == kPolicies.end()) {
    throw InputError(
        {.field = "policy",
         .what = "unknown policy",
         .got = std::string(name),
         .expected = "one of " + joined_names(),
         .hint = did_you_mean(name, std::vector<std::string>(kNames.begin(), kNames.end()))});
  }
  if (!request.decisions_file.empty() && name != "forced") {
    throw InputError({.field = "decisions_file",
                      .what = "only the policy forced reads decisions",
                      .got = "policy " + std::string(name),
                      .expected = "policy forced"});
  }
  PolicyPtr policy = entry->make(request);
  if (request.context > 0) {
    require_eviction(
        name, {.policy_args = request.args, .window_tokens = request.window}, request.context);
  }
  return policy;
}

void refuse_window(std::string_view policy, const PolicyRequest& request) {
  if (!request.window) return;
  throw InputError({.field = "window_tokens",
                    .what = "the policy " + std::string(policy) + " has no window",
                    .got = std::to_string(*request.window),
                    .expected = "no window_tokens"});
}

int64_t resolve_window(const PolicyRequest& request) {
  int64_t of_model = kDefaultWindow;
  if (request.trained) of_model = request.trained->window;
  if (request.scored) of_model = request.scored->window;
  const int64_t window = request.window.value_or(of_model);
  if (window < 0 || window > kMaxWindow) {
    throw InputError({.field = "window_tokens",
                      .what = "out of range",
                      .got = std::to_string(window),
                      .expected = "0 to " + std::to_string(kMaxWindow)});
  }
  return window;
}

int64_t window_argument(ArgReader& args, const PolicyRequest& request) {
  if (!args.has("window")) return resolve_window(request);
  const int64_t window = args.integer("window", kDefaultWindow, 0, kMaxWindow);
  if (request.window && request.window != window) {
    throw InputError({.field = "window_tokens",
                      .what = "contradicts policy_args window",
                      .got = std::to_string(*request.window),
                      .expected = std::to_string(window)});
  }
  return window;
}

}  // namespace dms::policy
