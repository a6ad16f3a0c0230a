#pragma once
// One window of a text through one cache.

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "eval/contender.h"
#include "eval/windows.h"

namespace dms::eval {

struct WindowRun {
  CacheMemory memory{};        // mean over the scored tokens, each with what it is predicted from
  std::vector<double> kept{};  // of the text's first window only: where the prompt ends, of each
                               // token before, the share of all heads that hold it; of a prompt of
                               // one token where the window ends, before the last pass of a policy
                               // that ranks
  int64_t prefill_tokens = 0;
  double prefill_s = 0;
  int64_t decode_tokens = 0;
  double decode_s = 0;
};

/// Logits after the token before `token`: what the model expects there.
using OnRow = std::function<void(int64_t token, std::span<const float> row)>;

/// Appends the tokens before `window.first_scored` as one prompt, then up to `decode_tokens` one by
/// one, then the rest, and hands over a row for each scored token, in order. `on_done`: tokens of
/// the window that are appended; what it throws ends the run.
WindowRun run_window(LLM& llm,
                     const CacheOptions& cache,
                     std::span<const int32_t> ids,
                     const ScoreWindow& window,
                     int64_t decode_tokens,
                     const OnRow& on_row,
                     const std::function<void(int64_t done)>& on_done);

}  // namespace dms::eval
