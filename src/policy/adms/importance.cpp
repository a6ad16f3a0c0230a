#include "policy/adms/importance.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "policy/score.h"

namespace dms::policy {
namespace {

std::vector<double> lengths(std::span<const float> rows, int64_t width) {
  const auto step = static_cast<size_t>(width);
  std::vector<double> result;
  for (size_t at = 0; at < rows.size(); at += step)
    result.push_back(length(rows.subspan(at, step)));
  return result;
}

double mean_of(std::span<const double> x) {
  return std::accumulate(x.begin(), x.end(), 0.0) /
         static_cast<double>(std::max<size_t>(x.size(), 1));
}

/// Of those that stay. One at least, so that no stretch is lost where few do.
int64_t room_of_segment(const Coverage& coverage, int64_t kept) {
  if (coverage.priority == 0) return 0;
  const auto covering = static_cast<int64_t>(coverage.priority * static_cast<double>(kept));
  return std::max<int64_t>(covering / coverage.segments, 1);
}

double variance_of(std::span<const float> x) {
  const std::vector<double> wide(x.begin(), x.end());
  const double mean = mean_of(wide);
  double sum = 0;
  for (const double value : wide) sum += (value - mean) * (value - mean);
  return sum / static_cast<double>(std::max<size_t>(wide.size(), 1));
}

}  // namespace

std::vector<float> importance_of(ImportanceMetric metric, const cache::HeadContents& head) {
  const bool by_key = metric == ImportanceMetric::key_norm;
  std::vector<double> norms = lengths(by_key ? head.keys : head.values, head.head_dim);
  if (metric == ImportanceMetric::mixed) {
    const std::vector<double> of_keys = lengths(head.keys, head.head_dim);
    const double key_mean = mean_of(of_keys);
    const double value_mean = mean_of(norms);
    for (size_t i = 0; i < norms.size(); ++i) {
      norms[i] = (value_mean > 0 ? norms[i] / value_mean : 0.0) +
                 (key_mean > 0 ? of_keys[i] / key_mean : 0.0);
    }
  }
  return {norms.begin(), norms.end()};
}

std::vector<uint8_t> least_important(std::span<const int32_t> positions,
                                     std::span<const float> importance,
                                     int64_t kept,
                                     const Middle& middle,
                                     const Coverage& coverage) {
  std::vector<uint8_t> goes(positions.size(), 1);
  std::vector<size_t> order(positions.size());
  std::iota(order.begin(), order.end(), size_t{0});
  const auto worth = [&](size_t i) {  // what is no number is worth nothing
    return std::isnan(importance[i]) ? -std::numeric_limits<float>::infinity() : importance[i];
  };
  std::ranges::sort(order, [&](size_t a, size_t b) {
    return worth(a) != worth(b) ? worth(a) > worth(b) : a > b;
  });
  std::vector<int64_t> room(static_cast<size_t>(coverage.segments),
                            room_of_segment(coverage, kept));
  int64_t left = kept;
  for (const size_t i : order) {
    if (left == 0) break;
    const int64_t place = positions[i] - middle.begin;
    int64_t& of_segment = room[static_cast<size_t>(place * coverage.segments / middle.tokens())];
    if (of_segment == 0) continue;
    --of_segment;
    --left;
    goes[i] = 0;
  }
  for (const size_t i : order) {
    if (left <= 0) break;
    if (goes[i] == 0) continue;
    goes[i] = 0;
    --left;
  }
  return goes;
}

std::vector<int64_t> budgets_by_variance(std::span<const std::vector<float>> importance,
                                         int64_t total,
                                         int64_t least) {
  const auto heads = std::ssize(importance);
  std::vector<double> variances;
  for (const std::vector<float>& of_head : importance) variances.push_back(variance_of(of_head));
  const double sum = std::accumulate(variances.begin(), variances.end(), 0.0);
  least = std::min(least, total / heads);
  const int64_t shared = total - least * heads;
  std::vector<int64_t> budgets;
  int64_t given = 0;
  for (const double variance : variances) {
    const double share = sum > 0 ? variance / sum : 1.0 / static_cast<double>(heads);
    budgets.push_back(least + static_cast<int64_t>(share * static_cast<double>(shared)));
    given += budgets.back();
  }
  for (size_t i = 0; given < total; ++i, ++given) ++budgets[i % budgets.size()];
  return budgets;
}

}  // namespace dms::policy
