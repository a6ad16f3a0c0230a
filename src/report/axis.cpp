#include "report/axis.h"

#include <algorithm>
#include <cmath>

#include "report/number_format.h"

namespace dms::report {
namespace {

constexpr double kLogFactor = 50.0;
constexpr double kMaxDecades = 6.0;  // a first value near zero must not flatten all others

struct Extremes {
  double min = 0.0;
  double max = 0.0;
  double min_positive = 0.0;  // 0: none
  bool has_values = false;
};

Extremes extremes_of(std::span<const double> values) {
  Extremes found;
  for (const double value : values) {
    if (!is_drawable(value)) continue;
    found.min = found.has_values ? std::min(found.min, value) : value;
    found.max = found.has_values ? std::max(found.max, value) : value;
    found.has_values = true;
    const bool is_least = found.min_positive == 0.0 || value < found.min_positive;
    if (value > 0 && is_least) found.min_positive = value;
  }
  return found;
}

/// 1, 2 or 5 times a power of ten, at least `rough`.
double nice_step(double rough) {
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= rough * 0.999) return factor * power;
  }
  return 10.0 * power;
}

Axis linear_axis(double min, double max, const AxisOptions& options) {
  if (min == max) {
    const double room = options.is_integer ? 1.0 : min == 0.0 ? 1.0 : std::abs(min) * 0.1;
    min -= room;
    max += room;
  }
  double step = nice_step((max - min) / options.ticks);
  if (options.is_integer) step = std::max(step, 1.0);
  Axis axis{.min = min, .max = max};
  if (!options.is_tight) {
    axis.min = std::floor(min / step + 1e-6) * step;
    axis.max = std::ceil(max / step - 1e-6) * step;
  }
  const double first = std::ceil(axis.min / step - 1e-6);
  const double last = std::floor(axis.max / step + 1e-6);
  for (double i = first; i <= last; ++i) {
    axis.ticks.push_back({i * step, short_number(i == 0 ? 0.0 : i * step, 4)});
  }
  return axis;
}

Axis log_axis(double min, double max) {
  Axis axis{.min = min, .max = max, .is_log = true};
  const double decades = std::log10(max / min);
  const int first = static_cast<int>(std::floor(std::log10(min)));
  const int last = static_cast<int>(std::ceil(std::log10(max)));
  const std::vector<double> factors = decades > 4   ? std::vector{1.0}
                                      : decades > 2 ? std::vector{1.0, 3.0}
                                                    : std::vector{1.0, 2.0, 5.0};
  for (int power = first; power <= last; ++power) {
    for (const double factor : factors) {
      const double value = factor * std::pow(10.0, power);
      if (value < min * 0.999 || value > max * 1.001) continue;
      axis.ticks.push_back({value, short_number(value)});
    }
  }
  return axis;
}

}  // namespace

bool is_drawable(double value) { return std::abs(value) <= kLargest; }

double Axis::place(double value) const {
  if (has_zero && value <= 0) return kZeroPlace;
  const double share = is_log ? std::log(std::max(value, min) / min) / std::log(max / min)
                              : (value - min) / (max - min);
  const double least = has_zero ? kLeastPlace : 0.0;
  return least + (1.0 - least) * std::clamp(share, 0.0, 1.0);
}

std::optional<Axis> make_axis(std::span<const double> values, const AxisOptions& options) {
  const Extremes found = extremes_of(values);
  if (!found.has_values) return std::nullopt;
  const bool is_log = options.may_be_log && found.min >= 0 && found.min_positive > 0 &&
                      found.max > kLogFactor * found.min_positive;
  if (!is_log) return linear_axis(found.min, found.max, options);
  const double least = std::max(found.min_positive, found.max * std::pow(10.0, -kMaxDecades));
  Axis axis = log_axis(least / 1.1, found.max * 1.1);
  axis.has_zero = options.shows_zero && found.min == 0;
  if (axis.has_zero) axis.ticks.insert(axis.ticks.begin(), {0.0, "0"});
  return axis;
}

}  // namespace dms::report
