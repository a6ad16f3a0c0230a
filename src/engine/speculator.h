#pragma once
// Guesses ahead of all answers of a pass, as many as are worth what they cost it. Engine thread
// only.

#include <cstdint>
#include <span>

#include "engine/running.h"

namespace dms::engine {

class Speculator {
 public:
  /// `model` outlives it.
  explicit Speculator(const Model& model) : model_(model) {}

  /// For a pass that computes `prompt_tokens` besides a token of each answer; at most `left`
  /// guesses in all. The more it computes anyway, the surer a guess must be.
  void guess(std::span<Running* const> answers, int64_t prompt_tokens, int64_t left) const;

 private:
  const Model& model_;
};

}  // namespace dms::engine
