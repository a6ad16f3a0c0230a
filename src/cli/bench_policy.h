#pragma once
// The policies a bench compares, from one line: "none,random:cr=8:window=256".

#include <string>
#include <vector>

#include "dms/llm.h"

namespace dms::cli {

struct BenchPolicy {
  std::string label;  // as written
  CacheOptions cache;
};

/// A name without settings of its own takes those of `shared`, but `none`, which has none. Of
/// several, those without a window, or with one of their own, leave the shared one aside. Throws
/// InputError.
std::vector<BenchPolicy> parse_bench_policies(const std::string& text, const CacheOptions& shared);

/// Tokens kept exactly under these options: what the roofline counts as dense.
int64_t exact_tokens(const CacheOptions& cache, const ModelInfo& info);

}  // namespace dms::cli
