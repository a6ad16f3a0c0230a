#include "policy/weights.h"

#include <algorithm>
#include <cmath>

namespace dms::policy {

void softmax(std::span<double> x) {
  if (x.empty()) return;
  const double max = *std::ranges::max_element(x);
  double sum = 0;
  for (double& value : x) sum += value = std::exp(value - max);
  for (double& value : x) value /= sum;
}

std::vector<float> pooled(std::span<const float> x, int64_t kernel_size) {
  const auto count = std::ssize(x);
  const int64_t reach = kernel_size / 2;
  std::vector<float> result;
  for (int64_t i = 0; i < count; ++i) {
    float sum = 0;
    for (int64_t j = std::max<int64_t>(i - reach, 0); j <= std::min(i + reach, count - 1); ++j) {
      sum += x[static_cast<size_t>(j)];
    }
    result.push_back(sum / static_cast<float>(kernel_size));
  }
  return result;
}

}  // namespace dms::policy
