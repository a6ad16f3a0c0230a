#pragma once
// What a layer's and head's scores of held-out text's tokens are, or should be: for each layer
// [tokens, kv_heads]. They judge a fit and choose its threshold.

#include <cstdint>
#include <span>
#include <vector>

namespace dms::llm {

using HeldOutScores = std::vector<std::vector<float>>;

/// 1 - (squared errors) / (squared deviations from the mean) of each head: [layers * kv_heads].
std::vector<double> r2_of_heads(const HeldOutScores& targets,
                                const HeldOutScores& predictions,
                                int64_t kv_heads);

/// The score below which `ratio` of all entries lie; there are some.
float threshold_for(const HeldOutScores& scores, double ratio);
double share_kept(const HeldOutScores& scores, float threshold);

}  // namespace dms::llm
