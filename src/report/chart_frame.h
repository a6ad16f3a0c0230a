#pragma once
// Where a chart's axes stand within its SVG, and their rules, ticks and labels.

#include <string>

#include "report/axis.h"

namespace dms::report {

/// Of a chart and the margins around its axes, in the SVG's own units; the page scales it to the
/// width of its card.
struct ChartSize {
  double width = 0;
  double height = 0;
  double left = 0;
  double right = 0;
  double top = 0;
  double bottom = 0;
};

struct ChartFrame {
  ChartSize size;
  Axis x;
  Axis y;

  double left(double value) const {
    return size.left + x.place(value) * (size.width - size.left - size.right);
  }
  double top(double value) const {
    return size.height - size.bottom - y.place(value) * (size.height - size.top - size.bottom);
  }
};

/// As SVG. `x_name` stands `name_below` under the horizontal axis.
std::string draw_axes(const ChartFrame& frame, const std::string& x_name, double name_below);

}  // namespace dms::report
