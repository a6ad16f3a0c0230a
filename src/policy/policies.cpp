#include <algorithm>
#include <array>

#include "base/suggest.h"
#include "dms/error.h"
#include "dms/kept_tokens.h"
#include "policy/budget.h"
#include "policy/policy.h"
#include "policy/traits.h"

namespace dms::policy {
namespace {

constexpr KeptSetting kBudget{.name = "budget", .least = 1};
constexpr KeptSetting kWindow{.name = "window"};
constexpr KeptSetting kSinks{.name = "n_sink"};

/// Of policies that make_ranking() makes: a budget has the newest entries and the first in it.
constexpr Traits kRanking{.cuts = Cuts::prompts,
                          .kept = {{kBudget,
                                    {.name = "window_size", .least = 1, .is_beside_last = true},
                                    {.name = "n_sink", .is_beside_last = true},
                                    {.name = "sink_size_start", .is_beside_last = true}}}};
constexpr Traits kChunked{
    .cuts = kRanking.cuts, .kept = kRanking.kept, .chunk_length = kDefaultChunkLength};
/// Also of a ranking policy under a `threshold`.
constexpr Traits kSettled{
    .cuts = Cuts::leaving, .kept = {kWindow}, .adapter_part = AdapterPart::eviction};
constexpr Traits kRunning{.cuts = Cuts::intervals, .kept = {kBudget}};
constexpr Traits kAnswers{
    .cuts = Cuts::answers, .kept = {kBudget}, .adapter_part = AdapterPart::queries};
constexpr Traits kTrained{
    .cuts = Cuts::leaving, .kept = {kWindow, kSinks}, .adapter_part = AdapterPart::eviction};
constexpr Traits kStreaming{.cuts = Cuts::leaving,
                            .kept = {{{.name = "recent_size"}, {.name = "start_size"}}}};
constexpr Traits kAdms{
    .cuts = Cuts::leaving,
    .kept = {{{.name = "recent_size"},
              {.name = "start_size"},
              {.name = "max_seq_length", .least = 1, .divisor = 100, .is_beside_last = true},
              {.name = "compressed_budget", .least = 1}}}};

struct Entry {
  std::string_view name;
  PolicyPtr (*make)(const PolicyRequest&);
  Traits traits{};
};

constexpr std::array kPolicies{
    Entry{"none", make_none},
    Entry{"dms", make_dms, kTrained},
    Entry{"streaming", make_streaming, kStreaming},
    Entry{"adms", make_adms, kAdms},
    Entry{"forced", make_forced, kSettled},
    Entry{"random", make_random, kSettled},
    Entry{"knorm", make_knorm, kRanking},
    Entry{"keydiff", make_keydiff, kRanking},
    Entry{"lagkv", make_lagkv, kRanking},
    Entry{"snapkv", make_snapkv, kRanking},
    Entry{"tova", make_tova, kRunning},
    Entry{"h2o", make_h2o, kRunning},
    Entry{"expected_attention", make_expected_attention, kRanking},
    Entry{"compactor", make_compactor, kRanking},
    Entry{"rkv", make_rkv, kRanking},
    Entry{"criticalkv", make_criticalkv, kRanking},
    Entry{"adaptive", make_adaptive, kRanking},
    Entry{"chunked", make_chunked, kChunked},
    Entry{"kvzap", make_kvzap, kTrained},
    Entry{"kvzip", make_kvzip, kRanking},
    Entry{"kvzip_plus", make_kvzip_plus, kRanking},
    Entry{"triattention", make_triattention, kAnswers},
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

Traits traits_of(std::string_view policy, const PolicyArgs& args) {
  const auto* const entry = std::ranges::find(kPolicies, policy, &Entry::name);
  if (entry == kPolicies.end()) return {};
  const bool is_settled = entry->traits.cuts == Cuts::prompts && args.contains("threshold");
  return is_settled ? kSettled : entry->traits;
}

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
