#include "engine/speculator.h"

#include <algorithm>

namespace dms::engine {
namespace {

// Of a pass with one row, whose time goes into reading the weights: what one more row adds.
constexpr double kRowCost = 0.1;

}  // namespace

void Speculator::guess(std::span<Running* const> answers,
                       int64_t prompt_tokens,
                       int64_t left) const {
  const auto count = static_cast<double>(answers.size());
  const double rows = count + static_cast<double>(prompt_tokens);
  const PassCost pass{.tokens = count, .cost = 1 + kRowCost * (rows - 1), .guess = kRowCost};
  for (Running* running : answers) {
    const int64_t most = std::min(left, running->most_guesses(model_));
    if (most > 0) left -= running->guess(pass, most);
  }
}

}  // namespace dms::engine
