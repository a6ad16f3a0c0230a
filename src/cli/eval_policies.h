#pragma once
// The policies an evaluation compares, from one line: "none,dms:kv_dtype=int8,random:cr=8".

#include <string>
#include <vector>

#include "dms/llm.h"
#include "eval/contender.h"

namespace dms::cli {

/// As parse_bench_policies(); of a policy's settings kv_dtype, kv_exact_layers, window and weights
/// are the cache's and the model's, whatever the policy. A type for each side is written with a
/// semicolon: kv_dtype=k=int8;v=lloyd4. Throws InputError, also where one stands there twice.
std::vector<eval::Contender> parse_contenders(const std::string& text, const CacheOptions& shared);

/// Checks each with the model; the longest sequence that all of them can hold. Those that have no
/// window leave the shared one aside, but not all of them. Throws InputError naming the policy.
int64_t plan_contenders(const ModelSource& source, std::vector<eval::Contender>& contenders);

/// Throws InputError naming a policy whose budget or ratio would take nothing of what it ranks, or
/// all of it: a prompt of `prompt` tokens, or, where it ranks at intervals, a text of `tokens`.
void check_sizes(const std::vector<eval::Contender>& contenders, int64_t prompt, int64_t tokens);

}  // namespace dms::cli
