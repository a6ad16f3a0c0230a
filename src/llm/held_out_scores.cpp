#include "llm/held_out_scores.h"

#include <algorithm>

#include "base/check.h"

namespace dms::llm {
namespace {

double r2_of(std::span<const float> target, std::span<const float> predicted, size_t stride) {
  double mean = 0;
  for (size_t i = 0; i < target.size(); i += stride) mean += target[i];
  mean /= static_cast<double>(ceil_div(std::ssize(target), static_cast<int64_t>(stride)));
  double errors = 0;
  double deviations = 0;
  for (size_t i = 0; i < target.size(); i += stride) {
    const double error = static_cast<double>(target[i]) - predicted[i];
    const double deviation = target[i] - mean;
    errors += error * error;
    deviations += deviation * deviation;
  }
  return deviations > 0 ? 1 - errors / deviations : 0;
}

}  // namespace

std::vector<double> r2_of_heads(const HeldOutScores& targets,
                                const HeldOutScores& predictions,
                                int64_t kv_heads) {
  std::vector<double> r2;
  const auto heads = static_cast<size_t>(kv_heads);
  for (size_t layer = 0; layer < targets.size(); ++layer) {
    for (size_t head = 0; head < heads; ++head) {
      r2.push_back(r2_of(std::span(targets[layer]).subspan(head),
                         std::span(predictions[layer]).subspan(head),
                         heads));
    }
  }
  return r2;
}

float threshold_for(const HeldOutScores& scores, double ratio) {
  std::vector<float> all;
  for (const std::vector<float>& layer : scores) {
    all.insert(all.end(), layer.begin(), layer.end());
  }
  ensure(!all.empty(), "held-out text");
  const auto below = static_cast<int64_t>(ratio * static_cast<double>(all.size()));
  const auto at = all.begin() + std::min(below, std::ssize(all) - 1);
  std::ranges::nth_element(all, at);
  return *at;
}

double share_kept(const HeldOutScores& scores, float threshold) {
  int64_t kept = 0;
  int64_t entries = 0;
  for (const std::vector<float>& layer : scores) {
    kept += std::ranges::count_if(layer, [&](float score) { return score >= threshold; });
    entries += std::ssize(layer);
  }
  return static_cast<double>(kept) / static_cast<double>(entries);
}

}  // namespace dms::llm
