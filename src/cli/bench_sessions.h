#pragma once
// How many conversations the memory limit holds side by side.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "cli/bench_policy.h"
#include "dms/llm.h"

namespace dms::cli {

struct FittingSessions {
  std::string policy;
  int64_t prompt_tokens = 0;
  int64_t count = 0;
  KvStats kv{};  // of those that fit, together

  /// 0 where none fits.
  int64_t bytes_each() const { return count > 0 ? kv.allocated_bytes / count : 0; }
};

/// Opens session after session and appends a prompt of `prompt_tokens` to each, until one meets the
/// memory limit. `next_prompt` makes them. Throws RunError where the limit is too far off to be
/// met.
FittingSessions count_fitting_sessions(
    LLM& llm,
    const BenchPolicy& policy,
    int64_t prompt_tokens,
    const std::function<std::vector<int32_t>(int64_t tokens)>& next_prompt);

}  // namespace dms::cli
