#include "report/marker.h"

#include <fmt/format.h>

#include "report/page.h"

namespace dms::report {
namespace {

constexpr size_t kColours = 8;
constexpr size_t kShapes = 5;
constexpr double kRadius = 4.5;

std::string polygon(size_t series, const std::string& points) {
  return fmt::format(R"(<polygon class="fill-{}" points="{}"/>)", colour_of(series), points);
}

}  // namespace

size_t colour_of(size_t series) { return series % kColours + 1; }

std::string marker(size_t series, double x, double y) {
  constexpr double r = kRadius;
  switch (series % kShapes) {
    case 0:
      return fmt::format(R"(<circle class="fill-{}" cx="{:.1f}" cy="{:.1f}" r="{}"/>)",
                         colour_of(series),
                         x,
                         y,
                         r);
    case 1:
      return polygon(series,
                     fmt::format("{0:.1f},{2:.1f} {1:.1f},{2:.1f} {1:.1f},{3:.1f} {0:.1f},{3:.1f}",
                                 x - r * 0.88,
                                 x + r * 0.88,
                                 y - r * 0.88,
                                 y + r * 0.88));
    case 2:
      return polygon(series,
                     fmt::format("{0:.1f},{1:.1f} {2:.1f},{3:.1f} {4:.1f},{3:.1f}",
                                 x,
                                 y - r * 1.2,
                                 x + r * 1.1,
                                 y + r * 0.8,
                                 x - r * 1.1));
    case 3:
      return polygon(series,
                     fmt::format("{0:.1f},{1:.1f} {2:.1f},{3:.1f} {0:.1f},{4:.1f} {5:.1f},{3:.1f}",
                                 x,
                                 y - r * 1.25,
                                 x + r * 1.25,
                                 y,
                                 y + r * 1.25,
                                 x - r * 1.25));
    default:
      return polygon(series,
                     fmt::format("{0:.1f},{1:.1f} {2:.1f},{3:.1f} {4:.1f},{3:.1f}",
                                 x,
                                 y + r * 1.2,
                                 x + r * 1.1,
                                 y - r * 0.8,
                                 x - r * 1.1));
  }
}

std::string legend_entry(size_t series, const std::string& name, double left, double y) {
  return fmt::format(
      R"(<line class="line stroke-{0}" x1="{1:.1f}" x2="{2:.1f}" y1="{3:.1f}" )"
      R"(y2="{3:.1f}"/>{4}<text class="tick name" x="{5:.1f}" y="{6:.1f}">{7}</text>)",
      colour_of(series),
      left,
      left + kLegendMark,
      y,
      marker(series, left + kLegendMark / 2, y),
      left + kLegendMark + 8,
      y + 4,
      escape_html(name));
}

}  // namespace dms::report
