#pragma once
// How the next token is chosen.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "dms/structure.h"

namespace dms {

/// What a sequence can take back at once.
inline constexpr int64_t kMostSpeculated = 32;

/// Applied in this order: logit bias, penalties, temperature, top-k, top-p, min-p, draw.
struct SamplingParams {
  int64_t max_new_tokens = 128;
  double temperature = 0.0;         // 0: greedy
  int64_t top_k = 0;                // keep the k most likely; 0: all
  double top_p = 1.0;               // keep the smallest set with this probability; 1: all
  double min_p = 0.0;               // keep tokens with p >= min_p * p(best); 0: all
  double repetition_penalty = 1.0;  // divides positive, multiplies negative logits of seen tokens
  double presence_penalty = 0.0;    // subtracted once from each generated token's logit
  double frequency_penalty = 0.0;   // subtracted once per occurrence among generated tokens
  uint64_t seed = 0;                // same seed, same text
  std::map<int32_t, double> logit_bias = {};  // added to a token's logit, -100 to 100
  std::vector<std::string> stop = {};         // generation ends before the first of these texts
  std::vector<int32_t> stop_ids = {};         // generation ends with the first of these tokens
  bool ignore_eos = false;                    // go on after the model's end-of-sequence tokens
  // Most tokens guessed ahead and computed together with the next one, at most kMostSpeculated; 0:
  // none. The text stays what it is without, sampled or not; how many are guessed depends on how
  // many of those before were right.
  int64_t speculate = 0;
  // Report each token's log-probability and those of the N likeliest tokens; -1: report nothing.
  int64_t log_probabilities = -1;
  // The same for the prompt's tokens from the second on, as the policy in force sees them.
  int64_t prompt_log_probabilities = -1;
  // The form of the answer. Speculation, penalties and log-probabilities are what they are without.
  Structure structure{};
};

}  // namespace dms
