#include "report/grid_map.h"

#include <algorithm>

#include <fmt/format.h>

#include "report/axis.h"
#include "report/page.h"

namespace dms::report {
namespace {

constexpr double kWidth = 560;
constexpr double kLeft = 76;
constexpr double kNameLeft = 22;  // of the name of y, which stands upright
constexpr double kTop = 4;
constexpr double kGap = 2;
constexpr double kBottom = 38;
constexpr double kMostWidth = 96;
constexpr double kCellHeight = 30;
constexpr double kStrong = 0.55;  // from here on a cell's text is light

std::string cell(const GridMap& map, size_t x, size_t y, double width) {
  const double share = map.shares[y][x];
  const bool is_known = is_drawable(share);
  const double left = kLeft + static_cast<double>(x) * width;
  const double top = kTop + static_cast<double>(y) * kCellHeight;
  const std::string value = is_known ? fmt::format("{:.0f}", 100 * share) : "–";
  return fmt::format(R"(<g><title>{} {}, {} {}: {}</title>)"
                     R"(<rect class="cell" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>)"
                     R"(<rect class="heat" style="fill-opacity:{:.3f}" )"
                     R"(x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>)"
                     R"(<text class="tick middle{}" x="{:.1f}" y="{:.1f}">{}</text></g>)",
                     escape_html(map.x_name),
                     escape_html(map.x_labels[x]),
                     escape_html(map.y_name),
                     escape_html(map.y_labels[y]),
                     value,
                     left,
                     top,
                     width - kGap,
                     kCellHeight - kGap,
                     is_known ? std::clamp(share, 0.0, 1.0) : 0.0,
                     left,
                     top,
                     width - kGap,
                     kCellHeight - kGap,
                     is_known && share > kStrong ? " on-heat" : "",
                     left + (width - kGap) / 2,
                     top + kCellHeight / 2 + 3,
                     value);
}

std::string labels(const GridMap& map, double width) {
  std::string svg;
  const double bottom = kTop + static_cast<double>(map.y_labels.size()) * kCellHeight;
  for (size_t x = 0; x < map.x_labels.size(); ++x) {
    svg += fmt::format(R"(<text class="tick middle" x="{:.1f}" y="{:.1f}">{}</text>)",
                       kLeft + (static_cast<double>(x) + 0.5) * width,
                       bottom + 13,
                       escape_html(map.x_labels[x]));
  }
  for (size_t y = 0; y < map.y_labels.size(); ++y) {
    svg += fmt::format(R"(<text class="tick end" x="{}" y="{:.1f}">{}</text>)",
                       kLeft - 7,
                       kTop + (static_cast<double>(y) + 0.5) * kCellHeight + 3,
                       escape_html(map.y_labels[y]));
  }
  const double middle = (kTop + bottom) / 2;
  return svg + fmt::format(R"(<text class="tick middle" x="{0:.1f}" y="{1:.1f}">{2}</text>)"
                           R"-(<text class="tick middle" transform="rotate(-90 {3} {4:.1f})" )-"
                           R"(x="{3}" y="{4:.1f}">{5}</text>)",
                           kLeft + width * static_cast<double>(map.x_labels.size()) / 2,
                           bottom + 30,
                           escape_html(map.x_name),
                           kNameLeft,
                           middle,
                           escape_html(map.y_name));
}

}  // namespace

std::string render(const GridMap& map) {
  if (map.x_labels.empty() || map.y_labels.empty()) return "";
  const double width =
      std::min((kWidth - kLeft) / static_cast<double>(map.x_labels.size()), kMostWidth);
  const double whole_width = kLeft + width * static_cast<double>(map.x_labels.size());
  const double height = kTop + kCellHeight * static_cast<double>(map.y_labels.size()) + kBottom;
  std::string svg = fmt::format(
      R"(<svg class="map" viewBox="0 0 {0:.0f} {1:.0f}" style="max-width:{0:.0f}px;--width:{0:.0f}px" )"
      R"(role="img" aria-label="{2}">)",
      whole_width,
      height,
      escape_html(map.title));
  for (size_t y = 0; y < map.y_labels.size(); ++y) {
    for (size_t x = 0; x < map.x_labels.size(); ++x) svg += cell(map, x, y, width);
  }
  return fmt::format(
             R"(<figure class="card"><figcaption><h2>{}</h2><span class="unit">{}</span></figcaption>)",
             escape_html(map.title),
             escape_html(map.unit)) +
         svg + labels(map, width) + "</svg></figure>\n";
}

}  // namespace dms::report
