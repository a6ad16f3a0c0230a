#pragma once
// The axes of the report's charts: what range of values they show, and where their ticks stand.

#include <optional>
#include <span>
#include <string>
#include <vector>

namespace dms::report {

/// Beyond it a value counts as not finite: differences of larger ones overflow.
constexpr double kLargest = 1e100;

/// Finite, and no larger than a chart can show.
bool is_drawable(double value);

struct Tick {
  double value;
  std::string label;
};

constexpr double kZeroPlace = 0.05;   // a mark's room above the chart's edge
constexpr double kLeastPlace = 0.15;  // of a logarithmic axis above its break

struct Axis {
  double min = 0.0;
  double max = 1.0;
  bool is_log = false;
  bool has_zero = false;  // of a logarithmic one: 0 stands below a break, apart from all others
  std::vector<Tick> ticks{};

  /// 0 at min, 1 at max; values outside are moved to the edge. With a break: 0 at kZeroPlace, min
  /// at kLeastPlace.
  double place(double value) const;
};

struct AxisOptions {
  bool may_be_log = false;  // chosen where the values are positive and span a factor of 50
  bool shows_zero = false;  // a logarithmic one has a place for 0 where it is among the values
  bool is_integer = false;  // ticks at whole numbers only
  bool is_tight = false;    // from the least to the largest value, not to the next tick
  int ticks = 5;            // about so many
};

/// The axis that shows `values`; those that are not drawable are passed over. Nothing where there
/// is none.
std::optional<Axis> make_axis(std::span<const double> values, const AxisOptions& options);

}  // namespace dms::report
