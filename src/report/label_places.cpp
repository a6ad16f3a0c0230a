#include "report/label_places.h"

#include <algorithm>
#include <array>

namespace dms::report {
namespace {

constexpr double kAside = 9;     // from a point to its label
constexpr double kLine = 13;     // a text's height
constexpr double kBetween = 6;   // texts side by side
constexpr double kAscent = 10;   // of it, above the baseline
constexpr double kMiddle = 4;    // from a point's height to the baseline of a text beside it
constexpr double kMarkSize = 6;  // half of a mark's
constexpr int kFarthest = 8;     // lines

ChartBox box_of(const LabelPlace& place) {
  return {.left = place.left,
          .top = place.baseline - kAscent,
          .right = place.left + place.width,
          .bottom = place.baseline - kAscent + kLine};
}

bool overlap(const ChartBox& a, const ChartBox& b) {
  return a.left < b.right && a.right > b.left && a.top < b.bottom && a.bottom > b.top;
}

/// Whether a line has a point in the box: what is left of it after cutting it at all four edges.
bool crosses(const ChartLine& line, const ChartBox& box) {
  double begin = 0;
  double end = 1;
  const auto cut = [&](double from, double step, double low, double high) {
    if (step == 0) return from > low && from < high;
    const double a = (low - from) / step;
    const double b = (high - from) / step;
    begin = std::max(begin, std::min(a, b));
    end = std::min(end, std::max(a, b));
    return begin < end;
  };
  return cut(line.x1, line.x2 - line.x1, box.left, box.right) &&
         cut(line.y1, line.y2 - line.y1, box.top, box.bottom);
}

/// To the right of a point and to its left.
std::array<LabelPlace, 2> sides(double x, double y, double width) {
  return {LabelPlace{.left = x + kAside, .baseline = y + kMiddle, .width = width},
          LabelPlace{.left = x - kAside - width, .baseline = y + kMiddle, .width = width}};
}

}  // namespace

void LabelPlaces::add_mark(double x, double y) {
  marks_.push_back({.left = x - kMarkSize,
                    .top = y - kMarkSize,
                    .right = x + kMarkSize,
                    .bottom = y + kMarkSize});
}

bool LabelPlaces::is_free(const LabelPlace& place, Over over) const {
  const ChartBox box = box_of(place);
  const bool is_inside = box.left >= bounds_.left && box.right <= bounds_.right &&
                         box.top >= bounds_.top && box.bottom <= bounds_.bottom;
  const auto is_hit = [&box](const ChartBox& other) { return overlap(box, other); };
  if (!is_inside || std::ranges::any_of(labels_, is_hit)) return false;
  if (over != Over::all_but_labels && std::ranges::any_of(marks_, is_hit)) return false;
  return over != Over::nothing ||
         std::ranges::none_of(lines_, [&box](const ChartLine& line) { return crosses(line, box); });
}

std::optional<LabelPlace> LabelPlaces::beside(double x, double y, double width) const {
  constexpr double kUp = kMarkSize + 4;
  constexpr double kDown = kMarkSize + kAscent + 1;
  for (const LabelPlace& side : sides(x, y, width)) {
    for (const double shift : {0.0, -kLine / 2, kLine / 2}) {
      LabelPlace place = side;
      place.baseline += shift;
      if (is_free(place, Over::nothing)) return place;
    }
  }
  for (const double baseline : {y - kUp, y + kDown}) {
    for (const double share : {0.5, 0.15, 0.85}) {
      const LabelPlace place{.left = x - share * width, .baseline = baseline, .width = width};
      if (is_free(place, Over::nothing)) return place;
    }
  }
  return std::nullopt;
}

LabelPlace LabelPlaces::near(double x, double y, double width) const {
  if (const auto place = beside(x, y, width)) return *place;
  for (const Over over : {Over::nothing, Over::lines, Over::all_but_labels}) {
    for (int lines = 0; lines <= kFarthest; ++lines) {
      for (const double shift : {-lines * kLine, lines * kLine}) {
        for (LabelPlace place : sides(x, y + shift, width)) {
          place.is_apart = lines > 0;
          if (is_free(place, over)) return place;
        }
      }
    }
  }
  return sides(x, y, width)[x + kAside + width > bounds_.right ? 1 : 0];
}

void LabelPlaces::take(const LabelPlace& place) {
  ChartBox box = box_of(place);
  box.left -= kBetween;
  box.right += kBetween;
  labels_.push_back(box);
}

}  // namespace dms::report
