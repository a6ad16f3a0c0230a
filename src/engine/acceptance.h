#pragma once
// How often guesses of one kind were right of late, and how many at a time are worth their cost.

#include <cstdint>

namespace dms::engine {

/// What guesses are added to. Costs are shares of a pass that computes one token.
struct PassCost {
  double tokens = 1;  // that the pass brings without them
  double cost = 1;    // of the pass without them
  double guess = 0;   // of each
};

/// So many guesses, and what the pass then brings for its cost.
struct Worth {
  int64_t guesses = 0;
  double rate = 0;
};

class Acceptance {
 public:
  /// `expected`: the share of right guesses as long as none was seen.
  explicit Acceptance(double expected);

  double share() const { return right_ / seen_; }
  /// The number of guesses, one after another, that brings the most tokens for its cost.
  Worth best(const PassCost& pass, int64_t most) const;
  /// The same, but where none pays one is tried now and then.
  int64_t worth(const PassCost& pass, int64_t most);
  /// The first `right` of `guessed` were right.
  void learn(int64_t guessed, int64_t right);

 private:
  double right_;
  double seen_;
  int64_t declined_ = 0;  // times in a row that none paid
};

}  // namespace dms::engine
