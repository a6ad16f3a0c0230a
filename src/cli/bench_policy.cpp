#include "cli/bench_policy.h"

#include <algorithm>
#include <exception>

#include "cli/parse.h"
#include "dms/error.h"

namespace dms::cli {
namespace {

BenchPolicy parse_policy(const std::string& text,
                         const CacheOptions& shared,
                         const std::string& option) {
  BenchPolicy policy{.label = text, .cache = shared};
  const size_t colon = text.find(':');
  policy.cache.policy = text.substr(0, colon);
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
  return policies;
}

CachePlan plan_cache(const ModelSource& source, CacheOptions& cache, std::exception_ptr& refusal) {
  try {
    return source.check(cache);
  } catch (const InputError& error) {
    if (error.parts().field != "window_tokens") throw;
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
