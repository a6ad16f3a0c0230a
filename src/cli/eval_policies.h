#pragma once
// The policies an evaluation compares, from one line: "none,dms:kv_dtype=int8,random:cr=8".

#include <functional>
#include <string>
#include <vector>

#include "dms/llm.h"
#include "eval/contender.h"

namespace dms::cli {

/// As parse_bench_policies(); of a policy's settings kv_dtype, kv_exact_layers, window, weights and
/// adapter are the cache's and the model's, whatever the policy. A type for each side is written
/// with a semicolon: kv_dtype=k=int8;v=lloyd4. A size may be a share of the text: budget=12.5%.
/// `option` names the line in errors. Throws InputError, also where one stands there twice.
std::vector<eval::Contender> parse_contenders(const std::string& text,
                                              const CacheOptions& shared,
                                              const std::string& option = "--policies");

/// The model, without its weights, as a contender wants it held.
using SourceOf = std::function<const ModelSource&(const eval::Variant&)>;

/// Checks each with its model, sizes being those for texts of `tokens`; the longest sequence that
/// all of them can hold. Those that have no window leave the shared one aside, but not all of them.
/// Throws InputError naming the policy.
int64_t plan_contenders(const SourceOf& source_of,
                        std::vector<eval::Contender>& contenders,
                        int64_t tokens,
                        const std::string& option = "--policies");

/// Throws InputError naming a policy whose budget would take nothing of what it ranks: a prompt of
/// `prompt` tokens, or, where it ranks at intervals, a text of `tokens`.
void check_sizes(const std::vector<eval::Contender>& contenders, int64_t prompt, int64_t tokens);

}  // namespace dms::cli
