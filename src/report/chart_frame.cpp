#include "report/chart_frame.h"

#include <iterator>

#include <fmt/format.h>

#include "report/page.h"

namespace dms::report {
namespace {

/// Two strokes through the vertical axis, where a scale ends and 0 follows.
std::string axis_break(const ChartFrame& frame) {
  constexpr double kHalfWidth = 6;
  constexpr double kHalfRise = 2.5;
  constexpr double kApart = 5;
  const double middle = (frame.top(0) + frame.top(frame.y.min)) / 2;
  std::string svg;
  for (const double y : {middle - kApart / 2, middle + kApart / 2}) {
    svg +=
        fmt::format(R"(<line class="axis break" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>)",
                    frame.size.left - kHalfWidth,
                    y + kHalfRise,
                    frame.size.left + kHalfWidth,
                    y - kHalfRise);
  }
  return svg;
}

}  // namespace

std::string draw_axes(const ChartFrame& frame, const std::string& x_name, double name_below) {
  std::string svg;
  auto out = std::back_inserter(svg);
  const double left = frame.size.left;
  const double right = frame.size.width - frame.size.right;
  const double bottom = frame.size.height - frame.size.bottom;
  for (const Tick& tick : frame.y.ticks) {
    const double y = frame.top(tick.value);
    fmt::format_to(out,
                   R"(<line class="rule" x1="{0}" x2="{1}" y1="{2:.1f}" y2="{2:.1f}"/>)"
                   R"(<text class="tick end" x="{3}" y="{4:.1f}">{5}</text>)",
                   left,
                   right,
                   y,
                   left - 7,
                   y + 3.5,
                   tick.label);
  }
  for (const Tick& tick : frame.x.ticks) {
    fmt::format_to(out,
                   R"(<line class="axis" x1="{0:.1f}" x2="{0:.1f}" y1="{1}" y2="{2}"/>)"
                   R"(<text class="tick middle" x="{0:.1f}" y="{3}">{4}</text>)",
                   frame.left(tick.value),
                   bottom,
                   bottom + 4,
                   bottom + 16,
                   tick.label);
  }
  fmt::format_to(out,
                 R"(<line class="axis" x1="{0}" x2="{1}" y1="{2}" y2="{2}"/>)"
                 R"(<text class="tick end" x="{1}" y="{3}">{4}</text>)",
                 left,
                 right,
                 bottom,
                 bottom + name_below,
                 escape_html(x_name));
  if (frame.y.has_zero) svg += axis_break(frame);
  return svg;
}

}  // namespace dms::report
