#pragma once
// Guesses ahead of one answer, by what its text had before: none where they have not been right
// often enough of late to be worth computing.

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/acceptance.h"
#include "engine/prompt_lookup.h"

namespace dms::engine {

class Speculation {
 public:
  Speculation();

  /// What follows `text` and `next`, at most `most` tokens. From call to call the text only grows.
  std::vector<int32_t> guess(std::span<const int32_t> text,
                             int32_t next,
                             const PassCost& pass,
                             int64_t most);
  /// Of the last guesses the first `right` were.
  void learn(int64_t guessed, int64_t right);

 private:
  // A long match is right more often than a short one: kinds by the bits of its length.
  static constexpr int64_t kKinds = 6;

  PromptLookup lookup_;
  std::array<Acceptance, kKinds> acceptance_;
  size_t kind_ = 0;  // of the last guesses
};

}  // namespace dms::engine
