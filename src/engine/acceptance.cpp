#include "engine/acceptance.h"

#include <algorithm>

namespace dms::engine {
namespace {

constexpr double kFirstWeight = 3;     // in guesses, of what is expected at first
constexpr double kForgetting = 0.93;   // a guess counts so much less with each that follows
constexpr int64_t kDeclinesATry = 16;  // a try in vain then costs a hundredth of what is computed

}  // namespace

Acceptance::Acceptance(double expected) : right_(expected * kFirstWeight), seen_(kFirstWeight) {}

Worth Acceptance::best(const PassCost& pass, int64_t most) const {
  Worth best{.rate = pass.tokens / pass.cost};
  double tokens = pass.tokens;
  double chance = 1;
  for (int64_t count = 1; count <= most; ++count) {
    chance *= share();
    tokens += chance;
    const double rate = tokens / (pass.cost + static_cast<double>(count) * pass.guess);
    if (rate > best.rate) best = {.guesses = count, .rate = rate};
  }
  return best;
}

int64_t Acceptance::worth(const PassCost& pass, int64_t most) {
  const int64_t guesses = best(pass, most).guesses;
  if (guesses > 0 || most == 0) {
    declined_ = 0;
    return guesses;
  }
  declined_ = (declined_ + 1) % kDeclinesATry;
  return declined_ == 0 ? 1 : 0;
}

void Acceptance::learn(int64_t guessed, int64_t right) {
  for (int64_t i = 0; i < std::min(right + 1, guessed); ++i) {
    right_ = right_ * kForgetting + (i < right ? 1 : 0);
    seen_ = seen_ * kForgetting + 1;
  }
}

}  // namespace dms::engine
