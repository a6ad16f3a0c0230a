#pragma once
// Guesses ahead of one answer: where they come from, and how many are worth computing, which is
// none where they have not been right often enough of late.

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/acceptance.h"
#include "engine/prompt_lookup.h"
#include "engine/sequence.h"

namespace dms::engine {

class Speculation {
 public:
  Speculation();
  Speculation(const Speculation&) = delete;
  Speculation& operator=(const Speculation&) = delete;

  /// Looks for what `text` and `next` end with. From call to call the text only grows.
  void look_up(std::span<const int32_t> text, int32_t next);
  /// Whether copies of what was found pay, and more than a draft model's guesses would.
  bool prefers_copies(const PassCost& pass, const PassCost& draft_pass, int64_t most) const;
  std::vector<int32_t> copy(const PassCost& pass, int64_t most);

  /// How many guesses to ask a draft model for.
  int64_t drafts_wanted(const PassCost& pass, int64_t most);
  /// What the draft model has of the text.
  std::unique_ptr<Sequence> draft{};

  /// Of the last guesses the first `right` were.
  void learn(int64_t guessed, int64_t right);

 private:
  // A long match is right more often than a short one: kinds by the bits of its length.
  static constexpr int64_t kKinds = 6;

  PromptLookup lookup_;
  PromptLookup::Match match_;
  std::array<Acceptance, kKinds> copies_;
  Acceptance drafts_{0.6};
  Acceptance* guessed_ = &drafts_;  // the last guesses' kind
};

}  // namespace dms::engine
