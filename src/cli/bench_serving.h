#pragma once
// What requests meet that come all at once: how fast they are served together, and how long each
// waits for its first token and between two.

#include <cstdint>
#include <span>
#include <vector>

#include "cli/samples.h"
#include "dms/llm.h"

namespace dms::cli {

/// Times are pooled over the repeats.
struct Served {
  int64_t tokens = 0;  // generated
  double seconds = 0;  // from the first submission to the last token
  Samples first_token_s{};
  Samples between_tokens_s{};
  // Pages, the most of any repeat.
  int64_t kv_used_bytes = 0;  // after the pass in which the last prompt ended
  int64_t kv_peak_bytes = 0;  // after any pass

  double tok_s() const { return seconds > 0 ? static_cast<double>(tokens) / seconds : 0; }
};

/// Submits a request for each prompt, computes until all have ended, and adds what was measured.
/// Throws RunError where one of them failed.
void serve_together(LLM& llm,
                    std::span<const std::vector<int32_t>> prompts,
                    const CacheOptions& cache,
                    const SamplingParams& sampling,
                    Served& served);

}  // namespace dms::cli
