#include "report/heatmap.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include <fmt/format.h>

#include "report/axis.h"
#include "report/page.h"

namespace dms::report {
namespace {

constexpr double kWidth = 1140;
constexpr double kLeft = 52;
constexpr double kTop = 4;
constexpr double kGap = 2;
constexpr double kMeanGap = 8;  // sets the row of means apart
constexpr double kBottom = 34;

struct Grid {
  int64_t layers = 0;
  int64_t heads = 0;
  double cell_width = 0.0;
  double cell_height = 0.0;
  double full = 1.0;  // the share that has the strongest colour

  double left(int64_t layer) const { return kLeft + static_cast<double>(layer) * cell_width; }
  double top(int64_t row) const {
    return kTop + static_cast<double>(row) * cell_height + (row == heads ? kMeanGap : 0.0);
  }
  double bottom() const { return top(heads) + cell_height; }
};

double mean_of(const std::vector<double>& shares) {
  double sum = 0;
  for (const double share : shares) sum += share;
  return sum / static_cast<double>(shares.size());
}

Grid make_grid(const std::vector<std::vector<double>>& retention) {
  Grid grid{.layers = std::ssize(retention)};
  double largest = 0;
  for (const std::vector<double>& layer : retention) {
    grid.heads = std::max(grid.heads, std::ssize(layer));
    for (const double share : layer) {
      if (is_drawable(share)) largest = std::max(largest, share);
    }
  }
  const double room = (kWidth - kLeft) / static_cast<double>(std::max<int64_t>(grid.layers, 1));
  grid.cell_width = std::min(room, 90.0);
  grid.cell_height = std::clamp(grid.cell_width, 14.0, 26.0);
  if (grid.heads > 24) grid.cell_height = 8;
  for (const double full : {0.05, 0.1, 0.2, 0.3, 0.5, 1.0}) {
    grid.full = full;
    if (largest <= full) break;
  }
  return grid;
}

std::string cell(const Grid& grid, int64_t layer, int64_t row, double share) {
  const bool is_mean = row == grid.heads;
  const bool is_known = is_drawable(share);
  const double strength = is_known ? std::clamp(share / grid.full, 0.0, 1.0) : 0.0;
  const std::string value = is_known ? fmt::format("{:.1f}%", 100 * share) : "not finite";
  std::string svg =
      fmt::format(R"(<g><title>layer {}, {}: {} kept</title>)"
                  R"(<rect class="cell{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>)",
                  layer,
                  is_mean ? std::string("mean") : fmt::format("head {}", row),
                  value,
                  is_known ? "" : " unknown",
                  grid.left(layer),
                  grid.top(row),
                  grid.cell_width - kGap,
                  grid.cell_height - kGap);
  if (is_known) {
    svg += fmt::format(R"(<rect class="heat" style="fill-opacity:{:.3f}" )"
                       R"(x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>)",
                       strength,
                       grid.left(layer),
                       grid.top(row),
                       grid.cell_width - kGap,
                       grid.cell_height - kGap);
  }
  if (grid.cell_width >= 42 && grid.cell_height >= 14) {
    svg += fmt::format(R"(<text class="tick middle{}" x="{:.1f}" y="{:.1f}">{}</text>)",
                       strength > 0.55 ? " on-heat" : "",
                       grid.left(layer) + (grid.cell_width - kGap) / 2,
                       grid.top(row) + grid.cell_height / 2 + 3,
                       is_known ? value : "–");
  }
  return svg + "</g>";
}

std::string labels(const Grid& grid) {
  std::string svg;
  auto out = std::back_inserter(svg);
  const auto every = static_cast<int64_t>(std::ceil(24 / grid.cell_width));
  for (int64_t layer = 0; layer < grid.layers; layer += every) {
    fmt::format_to(out,
                   R"(<text class="tick middle" x="{:.1f}" y="{:.1f}">{}</text>)",
                   grid.left(layer) + (grid.cell_width - kGap) / 2,
                   grid.bottom() + 13,
                   layer);
  }
  const auto every_head = static_cast<int64_t>(std::ceil(12 / grid.cell_height));
  for (int64_t head = 0; head < grid.heads; head += every_head) {
    fmt::format_to(out,
                   R"(<text class="tick end" x="{}" y="{:.1f}">{}{}</text>)",
                   kLeft - 7,
                   grid.top(head) + grid.cell_height / 2 + 3,
                   head == 0 ? "head " : "",
                   head);
  }
  fmt::format_to(out,
                 R"(<text class="tick end" x="{}" y="{:.1f}">mean</text>)"
                 R"(<text class="tick" x="{}" y="{:.1f}">layer</text>)",
                 kLeft - 7,
                 grid.top(grid.heads) + grid.cell_height / 2 + 3,
                 kLeft,
                 grid.bottom() + 28);
  return svg;
}

std::string scale(const Grid& grid) {
  return fmt::format(R"(<div class="legend"><span>0%</span><span class="ramp"></span>)"
                     R"(<span>{:g}%</span></div>)",
                     100 * grid.full);
}

}  // namespace

std::string render_retention(const std::vector<std::vector<double>>& retention,
                             const std::string& when) {
  const Grid grid = make_grid(retention);
  if (grid.layers == 0 || grid.heads == 0) return "";
  const double width = kLeft + static_cast<double>(grid.layers) * grid.cell_width;
  std::string svg =
      fmt::format(R"(<svg class="map" viewBox="0 0 {0:.0f} {1:.0f}" )"
                  R"(style="max-width:{0:.0f}px;--width:{0:.0f}px" )"
                  R"(role="img" aria-label="Share of tokens kept by layer and KV head">)",
                  width,
                  grid.bottom() + kBottom);
  for (int64_t layer = 0; layer < grid.layers; ++layer) {
    const std::vector<double>& shares = retention[static_cast<size_t>(layer)];
    for (int64_t head = 0; head < std::ssize(shares); ++head) {
      svg += cell(grid, layer, head, shares[static_cast<size_t>(head)]);
    }
    if (!shares.empty()) svg += cell(grid, layer, grid.heads, mean_of(shares));
  }
  svg += labels(grid) + "</svg>";
  return fmt::format(R"(<figure class="card wide"><figcaption><h2>Tokens kept</h2>)"
                     R"(<span class="unit">share by layer and KV head, {}</span></figcaption>)",
                     escape_html(when)) +
         scale(grid) + svg + "</figure>\n";
}

}  // namespace dms::report
