#pragma once
// The policies an evaluation compares, from one line: "none,dms:kv_dtype=int8,random:cr=8".

#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "dms/llm.h"
#include "dms/policy_traits.h"
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

/// What can be evaluated.
struct LongestTexts {
  int64_t model = std::numeric_limits<int64_t>::max();  // whatever the policy
  std::vector<int64_t> each{};                          // under each contender

  /// Under all of them.
  int64_t all() const;
};

/// Checks each with its model, sizes being those for texts of `tokens`. Those that have no window
/// leave the shared one aside, but not all of them. Throws InputError naming the policy.
LongestTexts plan_contenders(const SourceOf& source_of,
                             std::vector<eval::Contender>& contenders,
                             int64_t tokens,
                             const std::string& option = "--policies");

/// Throws InputError where the model, called `where`, or one of the policies holds no text of
/// `tokens`.
void require_length(const LongestTexts& longest,
                    const std::vector<eval::Contender>& contenders,
                    int64_t tokens,
                    const std::string& where);

/// The same of one policy, which holds `longest`; `option` names its list.
void require_length(const eval::Contender& contender,
                    int64_t longest,
                    int64_t tokens,
                    const std::string& option);

/// Throws InputError naming a policy that by its settings would keep all: of texts of `tokens`, or
/// of what it takes of them where they come as `texts` says (compressed_tokens()).
void check_sizes(const std::vector<eval::Contender>& contenders,
                 int64_t tokens,
                 std::span<const AppendedText> texts = {},
                 const std::string& option = "--policies");

}  // namespace dms::cli
