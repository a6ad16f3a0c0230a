#include "report/line_chart.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include <fmt/format.h>

#include "report/axis.h"
#include "report/chart_frame.h"
#include "report/downsample.h"
#include "report/number_format.h"
#include "report/page.h"

namespace dms::report {
namespace {

constexpr ChartSize kSize{
    .width = 560, .height = 260, .left = 52, .right = 10, .top = 8, .bottom = 34};
constexpr double kNameBelow = 29;
constexpr int64_t kMaxPoints = 250;  // about one every two pixels

/// The least and the largest values of a stroke's stretches, as one polygon.
std::string band(const ChartFrame& frame, const Stroke& stroke, int colour) {
  std::string points;
  for (const Point& point : stroke) {
    points += fmt::format("{:.1f},{:.1f} ", frame.left(point.step), frame.top(point.max));
  }
  for (auto point = stroke.rbegin(); point != stroke.rend(); ++point) {
    points += fmt::format("{:.1f},{:.1f} ", frame.left(point->step), frame.top(point->min));
  }
  return fmt::format(R"(<polygon class="band fill-{}" points="{}"/>)", colour, points);
}

std::string line(const ChartFrame& frame, const Stroke& stroke, const Series& series) {
  if (stroke.size() == 1) {
    return fmt::format(R"(<circle class="fill-{}" cx="{:.1f}" cy="{:.1f}" r="3"/>)",
                       series.colour,
                       frame.left(stroke.front().step),
                       frame.top(stroke.front().mean));
  }
  std::string points;
  for (const Point& point : stroke) {
    points += fmt::format("{:.1f},{:.1f} ", frame.left(point.step), frame.top(point.mean));
  }
  return fmt::format(R"(<polyline class="line stroke-{}{}" points="{}"/>)",
                     series.colour,
                     series.is_dashed ? " dashed" : "",
                     points);
}

std::string curve(const ChartFrame& frame, const std::vector<double>& steps, const Series& series) {
  const bool is_summary = std::ssize(steps) > kMaxPoints;
  std::string svg;
  const std::vector<Stroke> strokes = downsample(steps, series.values, kMaxPoints);
  for (const Stroke& stroke : strokes) {
    if (is_summary && !series.is_dashed) svg += band(frame, stroke, series.colour);
    svg += line(frame, stroke, series);
  }
  return svg;
}

/// "0.0812", the last value that can be drawn.
std::string last_value(const Series& series) {
  const auto last = std::find_if(series.values.rbegin(), series.values.rend(), is_drawable);
  return last == series.values.rend() ? "" : short_number(*last, 4);
}

std::string legend(const LineChart& chart) {
  std::string html = "<div class=\"legend\">";
  for (const Series& series : chart.series) {
    html += fmt::format(R"(<span><svg width="18" height="8" aria-hidden="true"><line )"
                        R"(class="line stroke-{}{}" x1="0" x2="18" y1="4" y2="4"/></svg>)"
                        R"({} <b>{}</b></span>)",
                        series.colour,
                        series.is_dashed ? " dashed" : "",
                        escape_html(series.name),
                        last_value(series));
  }
  return html + "</div>";
}

std::string missing_steps(const LineChart& chart) {
  constexpr int64_t shown = 5;
  const auto is_missing = [&chart](size_t i) {
    return std::ranges::any_of(chart.series, [i](const Series& series) {
      return !std::isnan(series.values[i]) && !is_drawable(series.values[i]);
    });
  };
  std::string list;
  int64_t stretches = 0;
  for (size_t i = 0; i < chart.steps.size(); ++i) {
    if (!is_missing(i)) continue;
    const size_t first = i;
    while (i + 1 < chart.steps.size() && is_missing(i + 1)) ++i;
    if (++stretches > shown) continue;
    list += fmt::format("{}{}", list.empty() ? "" : ", ", chart.steps[first]);
    if (i > first) list += fmt::format(" to {}", chart.steps[i]);
  }
  if (stretches == 0) return "";
  if (stretches > shown) list += " and others";
  return fmt::format(R"(<p class="warning">Not finite at step {}.</p>)", list);
}

std::string plot(const LineChart& chart, const ChartFrame& frame) {
  std::string svg =
      fmt::format(R"(<svg class="plot" viewBox="0 0 {} {}" role="img" aria-label="{}">)",
                  kSize.width,
                  kSize.height,
                  escape_html(chart.title));
  svg += draw_axes(frame, "step", kNameBelow);
  for (const Series& series : chart.series) svg += curve(frame, chart.steps, series);
  return svg + "</svg>";
}

}  // namespace

std::string render(const LineChart& chart) {
  std::vector<double> values;
  for (const Series& series : chart.series) {
    values.insert(values.end(), series.values.begin(), series.values.end());
  }
  const auto x = make_axis(chart.steps, {.is_integer = true, .is_tight = true, .ticks = 6});
  const auto y = make_axis(values, {.may_be_log = chart.may_be_log});
  std::string html = fmt::format(R"(<figure class="card"><figcaption><h2>{}</h2>)"
                                 R"(<span class="unit">{}{}</span></figcaption>)",
                                 escape_html(chart.title),
                                 escape_html(chart.unit),
                                 y && y->is_log ? ", log scale" : "");
  html += legend(chart);
  html += x && y ? plot(chart, {kSize, *x, *y}) : std::string(R"(<p class="empty">No values.</p>)");
  return html + missing_steps(chart) + "</figure>\n";
}

}  // namespace dms::report
