#include "report/scatter.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "report/axis.h"
#include "report/chart_frame.h"
#include "report/marker.h"
#include "report/number_format.h"
#include "report/page.h"

namespace dms::report {
namespace {

constexpr ChartSize kSize{
    .width = 760, .height = 340, .left = 60, .right = 24, .top = 26, .bottom = 42};
constexpr double kNameBelow = 34;
constexpr double kCharacter = 6.2;  // about the width of one in a label
constexpr double kLine = 13;        // its height
constexpr double kLegendLine = 19;

bool is_drawn(const NamedPoint& point) { return is_drawable(point.x) && is_drawable(point.y); }

std::string front(const ChartFrame& frame, const std::vector<NamedPoint>& points) {
  std::string corners;
  for (const NamedPoint& point : pareto_front(points)) {
    corners += fmt::format("{:.1f},{:.1f} ", frame.left(point.x), frame.top(point.y));
  }
  return fmt::format(R"(<polyline class="line dashed front" points="{}"/>)", corners);
}

/// Names beside their points, to the left where the chart ends, a line higher or lower where
/// another stands there already.
class Labels {
 public:
  std::string add(const std::string& name, double x, double y) {
    constexpr double kAside = 9;
    const double width = kCharacter * static_cast<double>(name.size());
    const bool is_left = x + kAside + width > kSize.width;
    const double left = is_left ? x - kAside - width : x + kAside;
    const double top = free_line(left, left + width, y + 4);
    taken_.push_back({.left = left, .right = left + width, .top = top});
    return fmt::format(R"(<text class="label{}" x="{:.1f}" y="{:.1f}">{}</text>)",
                       is_left ? " end" : "",
                       is_left ? x - kAside : x + kAside,
                       top,
                       escape_html(name));
  }

 private:
  struct Box {
    double left;
    double right;
    double top;
  };

  bool is_free(double left, double right, double top) const {
    const bool is_inside = top > kLine && top < kSize.height - kSize.bottom;
    return is_inside && std::ranges::none_of(taken_, [&](const Box& box) {
             return left < box.right && right > box.left && std::abs(top - box.top) < kLine;
           });
  }
  double free_line(double left, double right, double wanted) const {
    constexpr int kFarthest = 8;
    for (int lines = 0; lines <= kFarthest; ++lines) {
      for (const double top : {wanted - lines * kLine, wanted + lines * kLine}) {
        if (is_free(left, right, top)) return top;
      }
    }
    return wanted;
  }

  std::vector<Box> taken_;
};

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

/// A curve for each series, by rising x.
std::string curves(const Scatter& chart, const SeriesList& list, const ChartFrame& frame) {
  std::string svg;
  for (size_t series = 0; series < list.names.size(); ++series) {
    std::vector<NamedPoint> points;
    for (size_t i = 0; i < chart.points.size(); ++i) {
      if (list.of_point[i] == series && is_drawn(chart.points[i]))
        points.push_back(chart.points[i]);
    }
    if (points.size() < 2) continue;
    std::ranges::stable_sort(points, {}, &NamedPoint::x);
    std::string corners;
    for (const NamedPoint& point : points) {
      corners += fmt::format("{:.1f},{:.1f} ", frame.left(point.x), frame.top(point.y));
    }
    svg += fmt::format(
        R"(<polyline class="line stroke-{}" points="{}"/>)", colour_of(series), corners);
  }
  return svg;
}

/// The size of a chart: one with curves has its legend beside the axes, inside the picture.
ChartSize size_of(const SeriesList& list) {
  constexpr double kLegend = 200;
  ChartSize size = kSize;
  if (!list.has_curves) return size;
  size.right = kLegend;
  const double lines = static_cast<double>(list.names.size() + 1);
  size.height = std::max(size.height, size.top + size.bottom + lines * kLegendLine);
  return size;
}

std::string legend(const SeriesList& list, const ChartFrame& frame) {
  const double left = frame.size.width - frame.size.right + 16;
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
                           left + kLegendMark + 8,
                           top + 4);
}

std::string plot(const Scatter& chart, const Axis& x_axis, const Axis& y_axis) {
  const SeriesList list = series_of(chart.points);
  const ChartFrame frame{size_of(list), x_axis, y_axis};
  std::string svg =
      fmt::format(R"(<svg class="plot" viewBox="0 0 {} {}" role="img" aria-label="{}">)",
                  frame.size.width,
                  frame.size.height,
                  escape_html(chart.title));
  svg += fmt::format(R"(<text class="tick" x="4" y="13">{}</text>)", escape_html(chart.unit));
  svg += draw_axes(frame, chart.x_name, kNameBelow) + front(frame, chart.points);
  if (list.has_curves) svg += curves(chart, list, frame) + legend(list, frame);
  Labels labels;
  for (size_t i = 0; i < chart.points.size(); ++i) {
    const NamedPoint& point = chart.points[i];
    if (!is_drawn(point)) continue;
    const double x = frame.left(point.x);
    const double y = frame.top(point.y);
    svg += fmt::format("<g><title>{}: {}, {}</title>{}</g>",
                       escape_html(point.name),
                       short_number(point.x),
                       short_number(point.y),
                       marker(list.has_curves ? list.of_point[i] : 0, x, y));
    if (list.has_curves) continue;
    const bool is_beyond = frame.y.is_log && point.y <= 0;  // such an axis has no zero
    svg += labels.add(is_beyond ? point.name + " (0)" : point.name, x, y);
  }
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
  const auto y = make_axis(ys, {.may_be_log = chart.may_be_log});
  const std::string head = fmt::format(
      R"(<figure class="card wide"><figcaption><h2>{}</h2><span class="unit">{}</span></figcaption>)",
      escape_html(chart.title),
      y && y->is_log ? "log scale" : "");
  return head + (x && y ? plot(chart, *x, *y) : std::string(R"(<p class="empty">No values.</p>)")) +
         "</figure>\n";
}

}  // namespace dms::report
