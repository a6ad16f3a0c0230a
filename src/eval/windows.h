#pragma once
// How a text longer than a model's context is scored: in windows that overlap, each token once.

#include <cstdint>
#include <vector>

namespace dms::eval {

/// Tokens [begin, end) go through a cache of their own; those from `first_scored` on are predicted
/// there, the ones before are context.
struct ScoreWindow {
  int64_t begin;
  int64_t end;
  int64_t first_scored;
};

/// Windows of `window` tokens that begin `stride` apart, as in Hugging Face's guide to perplexity:
/// tokens before `first` are not predicted, every other one is once, with window - stride tokens
/// before it at least, or all there are. 1 <= stride < window, 1 <= first < window.
std::vector<ScoreWindow> score_windows(int64_t tokens,
                                       int64_t window,
                                       int64_t stride,
                                       int64_t first = 1);

}  // namespace dms::eval
