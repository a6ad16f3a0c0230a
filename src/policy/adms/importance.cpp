#include "policy/adms/importance.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "base/euclidean_norm.h"

namespace dms::policy {
namespace {

std::vector<double> lengths(std::span<const float> rows, int64_t width) {
  const auto step = static_cast<size_t>(width);
  std::vector<double> result;
  for (size_t at = 0; at < rows.size(); at += step)
    result.push_back(euclidean_norm(rows.subspan(at, step)));
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

/// Of differences from the first, so that it is zero where all are the same, without rounding.
double variance_of(std::span<const float> x) {
  std::vector<double> wide(x.begin(), x.end());
  for (double& value : wide) value -= static_cast<double>(x.front());
  const double mean = mean_of(wide);
  double sum = 0;
  for (const double value : wide) sum += (value - mean) * (value - mean);
  const double variance = sum / static_cast<double>(std::max<size_t>(wide.size(), 1));
  return std::isfinite(variance) ? variance : 0.0;
}

/// `total` in proportion to `weights`, but to none more than its `room`: what one can't take the
/// others get. Evenly where all that can take more weigh nothing. All of them have room for it.
std::vector<double> filled(std::span<const double> weights,
                           std::span<const int64_t> room,
                           int64_t total) {
  std::vector<double> shares(weights.size());
  std::vector<size_t> open(weights.size());
  std::iota(open.begin(), open.end(), size_t{0});
  auto left = static_cast<double>(total);
  while (!open.empty()) {
    double sum = 0;
    for (const size_t i : open) sum += weights[i];
    const double even = left / static_cast<double>(open.size());
    for (const size_t i : open) shares[i] = sum > 0 ? left * (weights[i] / sum) : even;
    const auto full = std::ranges::partition(
        open, [&](size_t i) { return shares[i] < static_cast<double>(room[i]); });
    if (full.empty()) break;
    for (const size_t i : full) {
      shares[i] = static_cast<double>(room[i]);
      left -= shares[i];
    }
    open.erase(full.begin(), full.end());
  }
  return shares;
}

/// Whole numbers that sum up to `total`: the largest fractions are rounded up, of equals the first.
std::vector<int64_t> rounded(std::span<const double> shares, int64_t total) {
  std::vector<int64_t> whole;
  for (const double share : shares) whole.push_back(static_cast<int64_t>(share));
  std::vector<size_t> order(shares.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(
      order, std::greater{}, [&](size_t i) { return shares[i] - static_cast<double>(whole[i]); });
  const int64_t left = total - std::accumulate(whole.begin(), whole.end(), int64_t{0});
  for (int64_t i = 0; i < left; ++i) ++whole[order[static_cast<size_t>(i)]];
  return whole;
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

std::vector<int64_t> budgets_by_variance(std::span<const std::span<const float>> importance,
                                         int64_t total,
                                         int64_t least,
                                         std::span<const int64_t> most) {
  total = std::min(total, std::accumulate(most.begin(), most.end(), int64_t{0}));
  least = std::min(least, total / std::ssize(importance));
  std::vector<double> variances;
  std::vector<int64_t> room;
  int64_t shared = total;
  std::vector<int64_t> budgets;
  for (size_t head = 0; head < importance.size(); ++head) {
    variances.push_back(variance_of(importance[head]));
    budgets.push_back(std::min(least, most[head]));
    room.push_back(most[head] - budgets.back());
    shared -= budgets.back();
  }
  const std::vector<int64_t> added = rounded(filled(variances, room, shared), shared);
  for (size_t head = 0; head < budgets.size(); ++head) budgets[head] += added[head];
  return budgets;
}

}  // namespace dms::policy
