#pragma once
// A chart of values over steps as an HTML figure: inline SVG, colours from the page's style
// (page.h).

#include <string>
#include <vector>

namespace dms::report {

struct Series {
  std::string name;
  int colour = 1;  // 1..3: the page's --series-N
  bool is_dashed = false;
  std::vector<double> values;  // one per step; NaN: none was measured, infinite: it was not finite
};

struct LineChart {
  std::string title;
  std::string unit;
  bool may_be_log = false;
  std::vector<double> steps;
  std::vector<Series> series;
};

/// The figure, with the title, a legend that gives each series' last value, axes, and a line that
/// names the steps whose values are not finite.
std::string render(const LineChart& chart);

}  // namespace dms::report
