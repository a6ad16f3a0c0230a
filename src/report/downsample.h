#pragma once
// Fewer points than steps for long runs: each stretch of steps becomes its mean, with the least and
// the largest value beside it, so that no spike is lost.

#include <cstdint>
#include <span>
#include <vector>

namespace dms::report {

struct Point {
  double step = 0.0;  // mean of the stretch
  double mean = 0.0;
  double min = 0.0;
  double max = 0.0;
};

/// A line of points without a gap.
using Stroke = std::vector<Point>;

/// At most `points` points over all strokes; a new stroke begins behind a stretch in which no value
/// is drawable. `steps` and `values` are of the same length.
std::vector<Stroke> downsample(std::span<const double> steps,
                               std::span<const double> values,
                               int64_t points);

}  // namespace dms::report
