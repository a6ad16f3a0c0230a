// Texts of a chart that cover nothing.

#include "report/label_places.h"

#include <algorithm>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace dms::report {
namespace {

constexpr ChartBox kBounds{.left = 0, .top = 0, .right = 400, .bottom = 200};

/// A text's letters, a little smaller than the room they are given.
ChartBox letters(const LabelPlace& place) {
  return {.left = place.left + 1,
          .top = place.baseline - 9,
          .right = place.left + place.width - 1,
          .bottom = place.baseline + 2};
}

bool holds(const ChartBox& box, double x, double y) {
  return x > box.left && x < box.right && y > box.top && y < box.bottom;
}

bool overlap(const ChartBox& a, const ChartBox& b) {
  return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
}

TEST(LabelPlaces, ASingleTextStandsToTheRightOfItsPointOrToItsLeft) {
  const LabelPlaces places(kBounds);
  EXPECT_GT(places.beside(100, 100, 50)->left, 100);
  EXPECT_EQ(places.beside(380, 100, 50)->left + 50, 371);
  EXPECT_FALSE(places.beside(100, 100, 500));
  EXPECT_FALSE(places.near(100, 100, 50).is_apart);
}

TEST(LabelPlaces, TextsCoverNeitherMarksNorLinesNorEachOther) {
  std::mt19937 random(7);
  const auto draw = [&random](double most) {
    return std::uniform_real_distribution<double>(0, most)(random);
  };
  int drawn = 0;
  for (int chart = 0; chart < 50; ++chart) {
    LabelPlaces places(kBounds);
    std::vector<std::pair<double, double>> marks;
    std::vector<std::pair<double, double>> line;  // points of it, dense
    std::vector<ChartBox> texts;
    for (int i = 0; i < 12; ++i) {
      marks.emplace_back(draw(400), draw(200));
      places.add_mark(marks.back().first, marks.back().second);
      if (i == 0) continue;
      const auto [x1, y1] = marks[marks.size() - 2];
      const auto [x2, y2] = marks.back();
      places.add_line({x1, y1, x2, y2});
      for (int k = 0; k <= 1000; ++k) {
        line.emplace_back(x1 + (x2 - x1) * k / 1000, y1 + (y2 - y1) * k / 1000);
      }
    }
    for (const auto& [x, y] : marks) {
      const auto place = places.beside(x, y, 30);
      if (!place) continue;
      places.take(*place);
      const ChartBox box = letters(*place);
      for (const auto& [other_x, other_y] : marks) EXPECT_FALSE(holds(box, other_x, other_y));
      for (const auto& [at_x, at_y] : line) ASSERT_FALSE(holds(box, at_x, at_y));
      for (const ChartBox& text : texts) EXPECT_FALSE(overlap(box, text));
      texts.push_back(box);
      ++drawn;
    }
  }
  EXPECT_GT(drawn, 50);
}

TEST(LabelPlaces, WhereMarksCrowdNamesStandFartherAway) {
  LabelPlaces places(kBounds);
  std::vector<ChartBox> texts;
  for (int i = 0; i < 12; ++i) places.add_mark(200 + i, 100);
  for (int i = 0; i < 12; ++i) {
    const LabelPlace place = places.near(200 + i, 100, 60);
    places.take(place);
    for (const ChartBox& text : texts) EXPECT_FALSE(overlap(letters(place), text)) << i;
    texts.push_back(letters(place));
    EXPECT_FALSE(holds(texts.back(), 200 + i, 100));
  }
  EXPECT_TRUE(places.near(206, 100, 60).is_apart);
}

}  // namespace
}  // namespace dms::report
