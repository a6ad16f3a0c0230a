#include "report/downsample.h"

#include <algorithm>
#include <optional>

#include "base/check.h"
#include "report/axis.h"

namespace dms::report {
namespace {

std::optional<Point> summarise(std::span<const double> steps, std::span<const double> values) {
  Point point;
  double count = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    if (!is_drawable(values[i])) continue;
    point.min = count == 0 ? values[i] : std::min(point.min, values[i]);
    point.max = count == 0 ? values[i] : std::max(point.max, values[i]);
    point.step += steps[i];
    point.mean += values[i];
    ++count;
  }
  if (count == 0) return std::nullopt;
  point.step /= count;
  point.mean /= count;
  return point;
}

}  // namespace

std::vector<Stroke> downsample(std::span<const double> steps,
                               std::span<const double> values,
                               int64_t points) {
  ensure(steps.size() == values.size() && points > 0, "a value for each step");
  const auto stretch =
      static_cast<size_t>(std::max<int64_t>(1, ceil_div(std::ssize(steps), points)));
  std::vector<Stroke> strokes;
  bool is_open = false;
  for (size_t begin = 0; begin < steps.size(); begin += stretch) {
    const size_t count = std::min(stretch, steps.size() - begin);
    const std::optional<Point> point =
        summarise(steps.subspan(begin, count), values.subspan(begin, count));
    if (point && !is_open) strokes.emplace_back();
    if (point) strokes.back().push_back(*point);
    is_open = point.has_value();
  }
  return strokes;
}

}  // namespace dms::report
