#include "eval/divergence.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace dms::eval {

// With p = exp(x - X), q = exp(y - Y) and X, Y the logarithms of the sums of exponentials:
// sum p (x - X - y + Y) = sum p (x - y) - X + Y.
Divergence divergence(std::span<const float> reference, std::span<const float> other) {
  ensure(reference.size() == other.size() && !other.empty(), "rows of one vocabulary");
  const auto best = std::ranges::max_element(reference);
  const auto best_other = std::ranges::max_element(other);
  const double top = *best;
  const double top_other = *best_other;
  double sum = 0;
  double sum_other = 0;
  double weighted = 0;
  for (size_t i = 0; i < other.size(); ++i) {
    const double x = static_cast<double>(reference[i]) - top;
    const double y = static_cast<double>(other[i]) - top_other;
    const double p = std::exp(x);
    sum += p;
    sum_other += std::exp(y);
    // exp(-inf) * inf is no number, and a token that cannot come adds nothing.
    if (p > 0) weighted += p * (x - y);
  }
  return {.kld = weighted / sum - std::log(sum) + std::log(sum_other),
          .has_same_choice = best - reference.begin() == best_other - other.begin()};
}

}  // namespace dms::eval
