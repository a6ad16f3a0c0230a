#include "engine/log_probabilities.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace dms::engine {
namespace {

double log_sum_exp(std::span<const float> logits) {
  const double largest = *std::ranges::max_element(logits);
  double sum = 0;
  for (const float logit : logits) sum += std::exp(double{logit} - largest);
  return largest + std::log(sum);
}

}  // namespace

TokenChoice choice_of(std::span<const float> logits, int32_t token, int64_t count) {
  const double total = log_sum_exp(logits);
  const auto with_probability = [&](int32_t id) {
    const double logit = logits[static_cast<size_t>(id)];
    return TokenProbability{.id = id, .log_probability = static_cast<float>(logit - total)};
  };
  TokenChoice choice{.chosen = with_probability(token)};
  std::vector<int32_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  const auto end = ids.begin() + std::min<int64_t>(count, std::ssize(ids));
  std::partial_sort(ids.begin(), end, ids.end(), [&](int32_t a, int32_t b) {
    const float left = logits[static_cast<size_t>(a)];
    const float right = logits[static_cast<size_t>(b)];
    return left != right ? left > right : a < b;
  });
  std::transform(ids.begin(), end, std::back_inserter(choice.likeliest), with_probability);
  return choice;
}

}  // namespace dms::engine
