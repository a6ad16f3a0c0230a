#include "cli/bench_policy.h"

#include <algorithm>
#include <limits>

#include "cli/parse.h"

namespace dms::cli {
namespace {

constexpr int64_t kDefaultWindow = 256;
constexpr const char* kDefaultRecent = "2000";

/// In a list, --window is for those that have one and do not name their own.
bool leaves_window_aside(const CacheOptions& cache) {
  if (cache.policy == "none") return cache.kv_dtype.empty();
  return cache.policy == "streaming" || cache.policy_args.contains("window");
}

BenchPolicy parse_policy(const std::string& text, const CacheOptions& shared) {
  BenchPolicy policy{.label = text, .cache = shared};
  const size_t colon = text.find(':');
  policy.cache.policy = text.substr(0, colon);
  if (policy.cache.policy == "none") policy.cache.policy_args.clear();
  if (colon != std::string::npos) {
    std::string settings = text.substr(colon + 1);
    std::ranges::replace(settings, ':', ',');
    policy.cache.policy_args = parse_key_values("--policy", settings);
  }
  return policy;
}

}  // namespace

std::vector<BenchPolicy> parse_bench_policies(const std::string& text, const CacheOptions& shared) {
  if (text.empty()) return {{.label = "", .cache = shared}};
  std::vector<BenchPolicy> policies;
  for (const std::string& part : parse_list("--policy", text)) {
    policies.push_back(parse_policy(part, shared));
  }
  if (policies.size() == 1) return policies;
  for (BenchPolicy& policy : policies) {
    if (leaves_window_aside(policy.cache)) policy.cache.window_tokens.reset();
  }
  return policies;
}

int64_t exact_tokens(const CacheOptions& cache, const ModelInfo& info) {
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  const auto argument = [&cache](const char* key, const char* fallback) {
    const auto found = cache.policy_args.find(key);
    return found == cache.policy_args.end() ? std::string(fallback) : found->second;
  };
  if (cache.policy == "streaming") {
    return parse_integer("--policy-args", argument("recent_size", kDefaultRecent), 0, kMax);
  }
  if (cache.window_tokens) return *cache.window_tokens;
  const int64_t fallback = info.dms ? info.dms->window : kDefaultWindow;
  return parse_integer(
      "--policy-args", argument("window", std::to_string(fallback).c_str()), 0, kMax);
}

}  // namespace dms::cli
