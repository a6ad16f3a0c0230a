#pragma once
// The marks of a chart's points: a colour and a shape for each series, so that series keep apart
// for the colour-blind and in print as well. As SVG, colours from the page's style (page.h).

#include <cstddef>
#include <string>

namespace dms::report {

/// The page's --series-N of a series, from 1.
size_t colour_of(size_t series);
std::string marker(size_t series, double x, double y);
/// A line of the legend, its mark from `left` on, its middle at `y`.
constexpr double kLegendMark = 24;
std::string legend_entry(size_t series, const std::string& name, double left, double y);

}  // namespace dms::report
