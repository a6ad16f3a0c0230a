#pragma once
// Chooses the next token of one sequence. Order of the steps: bias, penalties, temperature, top-k,
// top-p, min-p, draw. Repetition penalty, top-k, top-p and min-p mean what Hugging Face
// transformers' logits processors of these names mean, presence and frequency penalty what OpenAI's
// API means. The same seed and logits give the same tokens on every platform. One thread at a time.

#include <cstdint>
#include <random>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "dms/sampling.h"

namespace dms::engine {

class Sampler {
 public:
  /// Throws InputError naming the option that is out of its range.
  explicit Sampler(const SamplingParams& params);

  /// Tokens the repetition penalty counts besides the generated ones.
  void see_prompt(std::span<const int32_t> tokens);

  /// The next token's id. `logits` [vocab] are changed. -inf excludes a token; throws RunError on
  /// NaN, +inf or when every token is excluded.
  int32_t sample(std::span<float> logits);

  /// Adds a generated token to the history the penalties count.
  void accept(int32_t token);

 private:
  struct Candidate {
    float logit;  // divided by the temperature
    int32_t token;
    double weight;  // exp(logit - best), not normalised
  };

  void apply_bias(std::span<float> logits) const;
  void apply_penalties(std::span<float> logits) const;
  void collect(std::span<const float> logits, float best);
  void keep_top_p();
  void keep_min_p();
  int32_t draw();

  SamplingParams params_;
  std::mt19937_64 random_;
  std::unordered_set<int32_t> seen_;                // prompt and generated
  std::unordered_map<int32_t, int64_t> generated_;  // occurrences
  std::vector<Candidate> candidates_;
};

}  // namespace dms::engine
