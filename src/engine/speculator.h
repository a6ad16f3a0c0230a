#pragma once
// Guesses ahead of all answers of a pass, as many as are worth what they cost it: copies of what a
// text had before, and, where there is a draft model, what that expects. Engine thread only.

#include <cstdint>
#include <optional>
#include <span>

#include "engine/draft_model.h"
#include "engine/options.h"
#include "engine/running.h"

namespace dms::engine {

class Speculator {
 public:
  /// `model` and the options' draft model outlive it.
  Speculator(const Model& model, const EngineOptions& options);

  /// For a pass that computes `prompt_tokens` besides a token of each answer; at most `left`
  /// guesses in all. The more it computes anyway, the surer a guess must be.
  void guess(std::span<Running* const> answers, int64_t prompt_tokens, int64_t left);

 private:
  int64_t drafts_wanted(Speculation& speculation, const PassCost& pass, int64_t most) const;

  const Model& model_;
  std::optional<DraftModel> draft_model_;
  double draft_cost_;
};

}  // namespace dms::engine
