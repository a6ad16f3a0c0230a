#include "cli/bench_policy.h"

#include <algorithm>
#include <exception>

#include <fmt/format.h>

#include "cli/output.h"
#include "cli/parse.h"
#include "dms/error.h"
#include "dms/kept_tokens.h"

namespace dms::cli {
namespace {

BenchPolicy parse_policy(const std::string& text,
                         const CacheOptions& shared,
                         const std::string& option) {
  BenchPolicy policy{.label = text, .cache = shared};
  const size_t colon = text.find(':');
  policy.cache.policy = text.substr(0, colon);
  if (policy.cache.policy.empty()) {
    throw InputError({.where = option,
                      .what = "settings without a policy's name",
                      .got = text,
                      .expected = "NAME" + text});
  }
  if (policy.cache.policy == "none") policy.cache.policy_args.clear();
  if (colon != std::string::npos) {
    std::string settings = text.substr(colon + 1);
    std::ranges::replace(settings, ':', ',');
    policy.cache.policy_args = parse_key_values(option, settings);
  }
  return policy;
}

}  // namespace

std::vector<BenchPolicy> parse_bench_policies(const std::string& text,
                                              const CacheOptions& shared,
                                              const std::string& option) {
  if (text.empty()) return {{.label = "", .cache = shared}};
  std::vector<BenchPolicy> policies;
  for (const std::string& part : parse_list(option, text)) {
    policies.push_back(parse_policy(part, shared, option));
  }
  const auto takes_shared = [](const BenchPolicy& policy) {
    return policy.label != "none" && policy.label.find(':') == std::string::npos;
  };
  if (!shared.policy_args.empty() && std::ranges::none_of(policies, takes_shared)) {
    note(fmt::format("--policy-args: without effect, no policy of {} takes them", option));
  }
  return policies;
}

CachePlan plan_cache(const ModelSource& source, CacheOptions& cache, std::exception_ptr& refusal) {
  try {
    return source.check(cache);
  } catch (const InputError& error) {
    if (error.parts().field != "window_tokens") throw;
    // Too large a window is a fault, not one that the policy does without.
    const std::string& policy = cache.policy.empty() ? source.info().policy : cache.policy;
    require_eviction(policy, cache, source.info().context);
    refusal = std::current_exception();
  }
  cache.window_tokens.reset();
  return source.check(cache);
}

void plan_policies(const ModelSource& source, std::vector<BenchPolicy>& policies) {
  std::exception_ptr refusal;
  bool is_taken = false;
  for (BenchPolicy& policy : policies) {
    std::exception_ptr refused;
    policy.plan = plan_cache(source, policy.cache, refused);
    is_taken |= !refused;
    if (refused) refusal = refused;
  }
  if (!is_taken) std::rethrow_exception(refusal);
}

}  // namespace dms::cli
