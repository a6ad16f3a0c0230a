#pragma once
// The policies a bench compares, from one line: "none,random:cr=8:window=256".

#include <exception>
#include <string>
#include <vector>

#include "dms/llm.h"

namespace dms::cli {

struct BenchPolicy {
  std::string label;  // as written
  CacheOptions cache;
  CachePlan plan{};
};

/// A name without settings of its own takes those of `shared`, but `none`, which has none. `option`
/// names the line in errors. Throws InputError.
std::vector<BenchPolicy> parse_bench_policies(const std::string& text,
                                              const CacheOptions& shared,
                                              const std::string& option = "--policy");

/// The policy's plan with the model. Where the policy refuses its window, that is taken out of
/// `cache`, and `refusal` is set to what it said. Throws InputError.
CachePlan plan_cache(const ModelSource& source, CacheOptions& cache, std::exception_ptr& refusal);

/// Checks each with the model and makes its plan. Of several, those that cannot have the shared
/// window (they have none, or one of their own) leave it aside; one at least must take it. Throws
/// InputError.
void plan_policies(const ModelSource& source, std::vector<BenchPolicy>& policies);

}  // namespace dms::cli
