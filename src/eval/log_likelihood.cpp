#include "eval/log_likelihood.h"

#include <algorithm>
#include <cmath>

namespace dms::eval {

double negative_log_likelihood(std::span<const float> logits, int32_t token) {
  const double largest = *std::ranges::max_element(logits);
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - largest);
  return std::log(sum) + largest - static_cast<double>(logits[static_cast<size_t>(token)]);
}

}  // namespace dms::eval
