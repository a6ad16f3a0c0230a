#pragma once
// A second, smaller model of the same tokens that guesses ahead of answers. It keeps a sequence of
// its own for each, which follows the answer's text; where it has no memory it guesses nothing.
// Engine thread only.

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/sequence.h"

namespace dms::engine {

/// What an answer wants guessed.
struct DraftWish {
  std::unique_ptr<Sequence>* sequence = nullptr;  // the answer's own; null at first
  std::vector<int32_t> text{};  // so far, the next token included; guesses are added to it
  int64_t count = 0;            // guesses wanted
};

class DraftModel {
 public:
  /// `model` outlives it. Throws InputError where its default cache options are bad.
  DraftModel(Model& model, int64_t chunk_tokens);

  /// Adds as many guesses as are wanted to each text, side by side, or fewer: none until a long
  /// text is caught up with, a chunk a call.
  void guess(std::span<DraftWish> wishes);

 private:
  bool begin(DraftWish& wish);
  bool advance(std::span<DraftWish* const> wishes);
  void give_up(std::span<DraftWish* const> wishes) const;

  Model& model_;
  std::shared_ptr<const SequencePlan> plan_;
  int64_t chunk_tokens_;
};

}  // namespace dms::engine
