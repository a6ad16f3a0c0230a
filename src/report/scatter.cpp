#include "report/scatter.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "report/axis.h"
#include "report/page.h"

namespace dms::report {
namespace {

constexpr double kWidth = 760;
constexpr double kHeight = 340;
constexpr double kLeft = 60;
constexpr double kRight = 60;
constexpr double kTop = 24;
constexpr double kBottom = 42;
constexpr double kCharacter = 6.2;  // about the width of one in a label
constexpr double kLine = 13;        // its height

struct Frame {
  Axis x;
  Axis y;

  double left(double value) const { return kLeft + x.place(value) * (kWidth - kLeft - kRight); }
  double top(double value) const {
    return kHeight - kBottom - y.place(value) * (kHeight - kTop - kBottom);
  }
};

bool is_drawn(const NamedPoint& point) { return is_drawable(point.x) && is_drawable(point.y); }

std::string axes(const Frame& frame, const std::string& x_name) {
  std::string svg;
  auto out = std::back_inserter(svg);
  const double bottom = kHeight - kBottom;
  for (const Tick& tick : frame.y.ticks) {
    const double y = frame.top(tick.value);
    fmt::format_to(out,
                   R"(<line class="rule" x1="{0}" x2="{1}" y1="{2:.1f}" y2="{2:.1f}"/>)"
                   R"(<text class="tick end" x="{3}" y="{4:.1f}">{5}</text>)",
                   kLeft,
                   kWidth - kRight,
                   y,
                   kLeft - 7,
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
                 kLeft,
                 kWidth - kRight,
                 bottom,
                 bottom + 34,
                 escape_html(x_name));
  return svg;
}

std::string front(const Frame& frame, const std::vector<NamedPoint>& points) {
  std::string corners;
  for (const NamedPoint& point : pareto_front(points)) {
    corners += fmt::format("{:.1f},{:.1f} ", frame.left(point.x), frame.top(point.y));
  }
  return fmt::format(R"(<polyline class="line dashed stroke-1" points="{}"/>)", corners);
}

/// Names beside their points, to the left where the chart ends, a line higher or lower where
/// another stands there already.
class Labels {
 public:
  std::string add(const std::string& name, double x, double y) {
    constexpr double kAside = 9;
    const double width = kCharacter * static_cast<double>(name.size());
    const bool is_left = x + kAside + width > kWidth;
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
    const bool is_inside = top > kLine && top < kHeight - kBottom;
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

std::string plot(const Scatter& chart, const Frame& frame) {
  std::string svg = fmt::format(R"(<svg viewBox="0 0 {} {}" role="img" aria-label="{}">)",
                                kWidth,
                                kHeight,
                                escape_html(chart.title));
  svg += axes(frame, chart.x_name) + front(frame, chart.points);
  Labels labels;
  for (const NamedPoint& point : chart.points) {
    if (!is_drawn(point)) continue;
    const double x = frame.left(point.x);
    const double y = frame.top(point.y);
    svg += fmt::format(R"(<circle class="fill-1" cx="{:.1f}" cy="{:.1f}" r="4.5"/>)", x, y);
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
  std::vector<double> ys;
  for (const NamedPoint& point : chart.points) {
    if (!is_drawn(point)) continue;
    xs.push_back(point.x);
    ys.push_back(point.y);
  }
  const auto x = make_axis(xs, {.may_be_log = chart.may_be_log, .ticks = 6});
  const auto y = make_axis(ys, {.may_be_log = chart.may_be_log});
  const std::string head = fmt::format(
      R"(<figure class="card wide"><figcaption><h2>{}</h2><span class="unit">{}{}</span></figcaption>)",
      escape_html(chart.title),
      escape_html(chart.unit),
      y && y->is_log ? ", log scale" : "");
  return head +
         (x && y ? plot(chart, {*x, *y}) : std::string(R"(<p class="empty">No values.</p>)")) +
         "</figure>\n";
}

}  // namespace dms::report
