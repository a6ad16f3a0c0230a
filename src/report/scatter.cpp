#include "report/scatter.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <map>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "base/utf8.h"
#include "report/axis.h"
#include "report/chart_frame.h"
#include "report/label_places.h"
#include "report/marker.h"
#include "report/number_format.h"
#include "report/page.h"

namespace dms::report {
namespace {

constexpr ChartSize kSize{
    .width = 760, .height = 340, .left = 60, .right = 24, .top = 26, .bottom = 42};
constexpr double kNameBelow = 34;
constexpr double kCharacter = 6.8;  // about the width of one in a label
constexpr double kRoomAbove = 8;    // labels may stand over the axes' end
constexpr double kLegendLine = 19;
constexpr double kLegendLeft = 16;  // from the axes to the legend
constexpr double kLegendGap = 8;    // from its marks to its names

bool is_drawn(const NamedPoint& point) { return is_drawable(point.x) && is_drawable(point.y); }

/// No line crosses the break of an axis: what leads to 0 has no slope there.
bool are_joined(const ChartFrame& frame, const NamedPoint& a, const NamedPoint& b) {
  return !frame.y.has_zero || (a.y > 0) == (b.y > 0);
}

/// Lines through points, whose look `style` names: classes of the page.
std::string lines_through(const std::vector<NamedPoint>& points,
                          const ChartFrame& frame,
                          const std::string& style) {
  std::string svg;
  for (size_t begin = 0, end = 0; begin < points.size(); begin = end) {
    std::string corners;
    do {
      corners += fmt::format("{:.1f},{:.1f} ", frame.left(points[end].x), frame.top(points[end].y));
      ++end;
    } while (end < points.size() && are_joined(frame, points[end - 1], points[end]));
    if (end - begin < 2) continue;
    svg += fmt::format(R"(<polyline class="{}" points="{}"/>)", style, corners);
  }
  return svg;
}

/// The names of series, in the order of their first points; points without one are of series of
/// their own, without a name.
struct SeriesList {
  std::vector<std::string> names;
  std::vector<size_t> of_point;
  bool has_curves = false;
};

SeriesList series_of(const std::vector<NamedPoint>& points) {
  SeriesList list;
  for (const NamedPoint& point : points) {
    const auto found =
        point.series.empty() ? list.names.end() : std::ranges::find(list.names, point.series);
    list.has_curves = list.has_curves || found != list.names.end();
    list.of_point.push_back(static_cast<size_t>(found - list.names.begin()));
    if (found == list.names.end()) list.names.push_back(point.series);
  }
  return list;
}

/// The corners of a series' lines, each by rising x.
std::vector<std::vector<NamedPoint>> lines_of(const Scatter& chart,
                                              const SeriesList& list,
                                              size_t series) {
  std::map<std::string, std::vector<NamedPoint>> lines;
  for (size_t i = 0; i < chart.points.size(); ++i) {
    const NamedPoint& point = chart.points[i];
    if (list.of_point[i] != series || !is_drawn(point)) continue;
    if (point.lines.empty()) lines[""].push_back(point);
    for (const std::string& line : point.lines) lines[line].push_back(point);
  }
  std::vector<std::vector<NamedPoint>> drawn;
  for (auto& [name, points] : lines) {
    if (points.size() < 2) continue;
    std::ranges::stable_sort(points, {}, &NamedPoint::x);
    drawn.push_back(std::move(points));
  }
  return drawn;
}

/// The lines of all series; `labels` keep clear of them.
std::string curves(const Scatter& chart,
                   const SeriesList& list,
                   const ChartFrame& frame,
                   LabelPlaces& labels) {
  std::string svg;
  for (size_t series = 0; series < list.names.size(); ++series) {
    for (const std::vector<NamedPoint>& points : lines_of(chart, list, series)) {
      for (size_t i = 1; i < points.size(); ++i) {
        const NamedPoint& a = points[i - 1];
        const NamedPoint& b = points[i];
        if (!are_joined(frame, a, b)) continue;
        labels.add_line({frame.left(a.x), frame.top(a.y), frame.left(b.x), frame.top(b.y)});
      }
      svg += lines_through(points, frame, fmt::format("line stroke-{}", colour_of(series)));
    }
  }
  return svg;
}

double text_width(const std::string& text) {
  return kCharacter * static_cast<double>(count_code_points(text));
}

/// The size of a chart: one with curves has its legend beside the axes, inside the picture.
ChartSize size_of(const SeriesList& list) {
  constexpr double kLeast = 140;
  constexpr double kMost = 320;
  ChartSize size = kSize;
  if (!list.has_curves) return size;
  double widest = 0;
  for (const std::string& name : list.names) widest = std::max(widest, text_width(name));
  size.right = std::clamp(kLegendLeft + kLegendMark + 2 * kLegendGap + widest, kLeast, kMost);
  const double lines = static_cast<double>(list.names.size() + 1);
  size.height = std::max(size.height, size.top + size.bottom + lines * kLegendLine);
  return size;
}

std::string legend(const SeriesList& list, const ChartFrame& frame) {
  const double left = frame.size.width - frame.size.right + kLegendLeft;
  double top = frame.size.top + 8;
  std::string svg;
  for (size_t series = 0; series < list.names.size(); ++series) {
    svg += legend_entry(series, list.names[series], left, top);
    top += kLegendLine;
  }
  return svg + fmt::format(R"(<line class="line front" x1="{0}" x2="{1}" y1="{2}" y2="{2}"/>)"
                           R"(<text class="tick" x="{3}" y="{4}">best at its size</text>)",
                           left,
                           left + kLegendMark,
                           top,
                           left + kLegendMark + kLegendGap,
                           top + 4);
}

/// `colour`: a class of the page's style.
std::string label(const std::string& name,
                  const std::string& colour,
                  const LabelPlace& place,
                  double x,
                  double y) {
  const bool is_left = place.left + place.width <= x;  // its end stands by the point
  std::string svg;
  if (place.is_apart) {
    svg = fmt::format(R"(<line class="axis" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>)",
                      x,
                      y,
                      is_left ? place.left + place.width + 2 : place.left - 2,
                      place.baseline - 4);
  }
  return svg + fmt::format(R"(<text class="label {}{}" x="{:.1f}" y="{:.1f}">{}</text>)",
                           colour,
                           is_left ? " end" : "",
                           is_left ? place.left + place.width : place.left,
                           place.baseline,
                           escape_html(name));
}

/// Every point by its name.
std::string point_names(const Scatter& chart, const ChartFrame& frame, LabelPlaces& labels) {
  std::string svg;
  for (const NamedPoint& point : chart.points) {
    if (!is_drawn(point)) continue;
    const double x = frame.left(point.x);
    const double y = frame.top(point.y);
    const LabelPlace place = labels.near(x, y, text_width(point.name));
    labels.take(place);
    svg += label(point.name, "name", place, x, y);
  }
  return svg;
}

/// Every series by its name where one of its points has room for it; all stand in the legend.
std::string series_names(const Scatter& chart,
                         const SeriesList& list,
                         const ChartFrame& frame,
                         LabelPlaces& labels) {
  std::string svg;
  for (size_t series = 0; series < list.names.size(); ++series) {
    const std::string& name = list.names[series];
    for (size_t i = 0; i < chart.points.size(); ++i) {
      const NamedPoint& point = chart.points[i];
      if (list.of_point[i] != series || !is_drawn(point)) continue;
      const double x = frame.left(point.x);
      const double y = frame.top(point.y);
      const auto place = labels.beside(x, y, text_width(name));
      if (!place) continue;
      labels.take(*place);
      svg += label(name, fmt::format("fill-{}", colour_of(series)), *place, x, y);
      break;
    }
  }
  return svg;
}

std::string marks(const Scatter& chart,
                  const SeriesList& list,
                  const ChartFrame& frame,
                  LabelPlaces& labels) {
  std::string svg;
  for (size_t i = 0; i < chart.points.size(); ++i) {
    const NamedPoint& point = chart.points[i];
    if (!is_drawn(point)) continue;
    const double x = frame.left(point.x);
    const double y = frame.top(point.y);
    labels.add_mark(x, y);
    svg += fmt::format("<g><title>{}: {}, {}</title>{}</g>",
                       escape_html(point.name),
                       short_number(point.x),
                       short_number(point.y),
                       marker(list.has_curves ? list.of_point[i] : 0, x, y));
  }
  return svg;
}

std::string plot(const Scatter& chart, const Axis& x_axis, const Axis& y_axis) {
  const SeriesList list = series_of(chart.points);
  const ChartFrame frame{size_of(list), x_axis, y_axis};
  const ChartSize& size = frame.size;
  std::string svg =
      fmt::format(R"(<svg class="plot" viewBox="0 0 {} {}" role="img" aria-label="{}">)",
                  size.width,
                  size.height,
                  escape_html(chart.title));
  svg += fmt::format(R"(<text class="tick" x="4" y="13">{}</text>)", escape_html(chart.unit));
  svg += draw_axes(frame, chart.x_name, kNameBelow) +
         lines_through(pareto_front(chart.points), frame, "line dashed front");
  LabelPlaces labels({.left = size.left,
                      .top = size.top - kRoomAbove,
                      .right = list.has_curves ? size.width - size.right + kLegendLeft : size.width,
                      .bottom = size.height - size.bottom});
  if (list.has_curves) svg += curves(chart, list, frame, labels) + legend(list, frame);
  svg += marks(chart, list, frame, labels);
  svg += list.has_curves ? series_names(chart, list, frame, labels)
                         : point_names(chart, frame, labels);
  return svg + "</svg>";
}

}  // namespace

std::vector<NamedPoint> pareto_front(std::vector<NamedPoint> points) {
  std::erase_if(points, [](const NamedPoint& point) { return !is_drawn(point); });
  std::ranges::stable_sort(points, [](const NamedPoint& a, const NamedPoint& b) {
    return a.x < b.x || (a.x == b.x && a.y < b.y);
  });
  std::vector<NamedPoint> best;
  double least = std::numeric_limits<double>::infinity();
  for (NamedPoint& point : points) {
    if (point.y >= least) continue;
    least = point.y;
    best.push_back(std::move(point));
  }
  return best;
}

std::string render(const Scatter& chart) {
  std::vector<double> xs;
  std::vector<double> ys = chart.is_percent ? std::vector{0.0, 100.0} : std::vector<double>{};
  for (const NamedPoint& point : chart.points) {
    if (!is_drawn(point)) continue;
    xs.push_back(point.x);
    ys.push_back(point.y);
  }
  const auto x = make_axis(xs, {.may_be_log = chart.may_be_log, .ticks = 6});
  const auto y = make_axis(ys, {.may_be_log = chart.may_be_log, .shows_zero = true});
  const std::string head = fmt::format(
      R"(<figure class="card wide"><figcaption><h2>{}</h2><span class="unit">{}</span></figcaption>)",
      escape_html(chart.title),
      y && y->is_log ? "log scale" : "");
  return head + (x && y ? plot(chart, *x, *y) : std::string(R"(<p class="empty">No values.</p>)")) +
         "</figure>\n";
}

}  // namespace dms::report
