#include "cli/samples.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace dms::cli {

double Samples::median() const {
  ensure(!values.empty(), "a median of something");
  std::vector<double> sorted = values;
  std::ranges::sort(sorted);
  const size_t middle = sorted.size() / 2;
  return sorted.size() % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

double Samples::min() const { return *std::ranges::min_element(values); }
double Samples::max() const { return *std::ranges::max_element(values); }

double Samples::percentile(double percent) const {
  ensure(!values.empty(), "a percentile of something");
  std::vector<double> sorted = values;
  std::ranges::sort(sorted);
  const double rank = std::ceil(percent / 100 * static_cast<double>(sorted.size()));
  return sorted[static_cast<size_t>(std::max(rank, 1.0)) - 1];
}

Samples Samples::of(double whole) const {
  Samples shares = *this;
  for (double& value : shares.values) value /= whole;
  return shares;
}

OutputJson Samples::json() const {
  if (values.empty()) {
    return {{"median", nullptr}, {"min", nullptr}, {"max", nullptr}, {"n", 0}};
  }
  return {{"median", median()}, {"min", min()}, {"max", max()}, {"n", values.size()}};
}

OutputJson Samples::tail_json() const {
  if (values.empty()) return {{"median", nullptr}, {"p99", nullptr}};
  return {{"median", median()}, {"p99", percentile(99)}};
}

}  // namespace dms::cli
