// Tables, scatter charts and maps of what was evaluated.

#include <algorithm>
#include <limits>
#include <string>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "report/data_table.h"
#include "report/grid_map.h"
#include "report/heatmap.h"
#include "report/page.h"
#include "report/scatter.h"
#include "report/shaded_text.h"

namespace dms::report {
namespace {

using testing::ElementsAre;
using testing::Field;
using testing::HasSubstr;
using testing::Not;

TEST(DataTable, IsMarkdownWithAlignedColumns) {
  const DataTable table{.title = "",
                        .header = {"policy", "ppl"},
                        .rows = {{"none", "9.5"}, {"a|b", "10.25"}, {"é", "-"}, {"<\n\\", "1"}}};
  EXPECT_EQ(to_markdown(table),
            "| policy |   ppl |\n"
            "| ------ | ----: |\n"
            "| none   |   9.5 |\n"
            "| a\\|b   | 10.25 |\n"
            "| é      |     - |\n"
            "| \\< \\\\  |     1 |\n");
  EXPECT_THAT(to_card({.title = "<T>", .header = {"a"}, .rows = {{"<b>"}}}),
              HasSubstr("<td>&lt;b&gt;</td>"));
}

TEST(Scatter, JoinsWhatNothingBeats) {
  const double none = std::numeric_limits<double>::quiet_NaN();
  const std::vector<NamedPoint> points{{"dense", 8, 0},
                                       {"good", 2, 1},
                                       {"bad", 2, 3},
                                       {"worse", 4, 1},
                                       {"small", 1, 5},
                                       {"lost", none, 0}};
  EXPECT_THAT(pareto_front(points),
              ElementsAre(Field(&NamedPoint::name, "small"),
                          Field(&NamedPoint::name, "good"),
                          Field(&NamedPoint::name, "dense")));
  const std::string html =
      render(Scatter{.title = "t", .unit = "", .x_name = "MiB", .points = points});
  EXPECT_THAT(html, HasSubstr(">worse</text>"));
  EXPECT_THAT(html, Not(HasSubstr(">lost</text>")));
  EXPECT_THAT(html, Not(HasSubstr("nan")));
  EXPECT_THAT(render(Scatter{.title = "t", .unit = "", .x_name = "", .points = {}}),
              HasSubstr("No values"));
}

/// There they scroll: shrunk to the screen, nobody could read their numbers.
TEST(Figures, KeepASizeOnAPhone) {
  const std::string style = render(Page{.title = "t", .cards = ""});
  EXPECT_THAT(style, HasSubstr(".plot { min-width: 600px; } .map { min-width: var(--width); }"));
  const GridMap map{.title = "t",
                    .unit = "",
                    .x_name = "x",
                    .y_name = "y",
                    .x_labels = {"1", "2"},
                    .y_labels = {"a"},
                    .shares = {{0, 1}}};
  for (const std::string& figure : {render(map), render_retention({{0.5, 1}, {0, 1}}, "now")}) {
    EXPECT_THAT(figure, testing::ContainsRegex("svg class=\"map\"[^>]*--width:[0-9]+px"));
  }
  const Scatter chart{.title = "t", .unit = "", .x_name = "", .points = {{"p", 1, 1}}};
  EXPECT_THAT(render(chart), HasSubstr("svg class=\"plot\""));
}

TEST(Scatter, JoinsSizesOfOnePolicy) {
  const std::string html = render(Scatter{
      .title = "t",
      .unit = "KLD",
      .x_name = "MiB",
      .points = {
          {"a:cr=2", 4, 1, "a"}, {"a:cr=8", 1, 3, "a"}, {"a:cr=4", 2, 2, "a"}, {"b", 3, 1, "b"}}});
  // By rising size, from the left to the right and from the top to the bottom.
  const size_t begin = html.find("stroke-1\" points=\"");
  ASSERT_NE(begin, std::string::npos);
  const std::string curve = html.substr(begin, html.find("\"/>", begin) - begin);
  EXPECT_EQ(std::ranges::count(curve, ','), 3);
  EXPECT_LT(std::stod(curve.substr(curve.find("points=\"") + 8)), 61);  // the axis begins at 60
  EXPECT_THAT(html, HasSubstr(">a</text>"));  // in the legend; points are told by their marks
  EXPECT_THAT(html, HasSubstr("<title>a:cr=4: 2, 2</title>"));
  EXPECT_THAT(html, Not(HasSubstr(">a:cr=4</text>")));
  EXPECT_THAT(html, Not(HasSubstr("stroke-2\" points")));  // one point is no curve
}

/// Of a point's round mark, downwards in the picture's units.
double height_of(const std::string& html, const std::string& name) {
  const std::string before = "cy=\"";
  const size_t mark = html.find(before, html.find("<title>" + name + ":"));
  return mark == std::string::npos ? 0 : std::stod(html.substr(mark + before.size()));
}

TEST(Scatter, ZeroStandsBelowALogarithmicScale) {
  const auto html_of = [](const std::string& series) {
    return render(Scatter{
        .title = "t",
        .unit = "KLD",
        .x_name = "MiB",
        .points = {{"none", 4, 0, series}, {"int8", 2, 1e-4, series}, {"int4", 1, 0.5, series}},
        .may_be_log = true});
  };
  for (const std::string series : {"", "full"}) {
    const std::string html = html_of(series);
    EXPECT_THAT(html, HasSubstr(">0</text>"));
    EXPECT_THAT(html, HasSubstr("<title>none: 4, 0</title>"));
    EXPECT_THAT(html, HasSubstr("class=\"axis break\""));
    const double zero = height_of(html, "none");
    EXPECT_GT(zero, height_of(html, "int8") + 20);
    EXPECT_THAT(html, HasSubstr(fmt::format(",{:.1f} ", height_of(html, "int8"))));
    EXPECT_THAT(html, Not(HasSubstr(fmt::format(",{:.1f} ", zero))));  // no line leads there
    EXPECT_THAT(html, HasSubstr("class=\"line dashed front\""));
  }
  EXPECT_THAT(html_of("full"), HasSubstr("class=\"line stroke-1\" points"));
}

TEST(Scatter, LinesOfASeriesGoThroughWhatNamesThem) {
  const std::string html = render(Scatter{.title = "t",
                                          .unit = "KLD",
                                          .x_name = "MiB",
                                          .points = {{"a", 4, 1, "a", {"16 bits", "cr 2"}},
                                                     {"a:cr=8", 1, 3, "a", {"16 bits", "cr 8"}},
                                                     {"a:int8", 2, 1, "a", {"8 bits", "cr 2"}},
                                                     {"b", 3, 2, "b", {"16 bits"}}}});
  const auto count = [&html](const std::string& text) {
    int64_t found = 0;
    for (size_t at = html.find(text); at != std::string::npos; at = html.find(text, at + 1)) {
      ++found;
    }
    return found;
  };
  EXPECT_EQ(count("stroke-1\" points"), 2);  // 16 bits, and cr 2
  EXPECT_EQ(count("stroke-2\" points"), 0);  // another series with a line of that name
  EXPECT_EQ(count(">a</text>"), 2);          // in the legend, and at a point
  EXPECT_EQ(count("class=\"label fill-2"), 1);
}

/// As the server's page has them: by the token that ends them.
TEST(ShadedText, ShadesWholeCharacters) {
  const auto shaded = [](const std::vector<std::string>& pieces,
                         const std::vector<double>& shares) {
    return render(ShadedText{.title = "", .unit = "", .pieces = pieces, .shares = shares});
  };
  const std::string html = shaded({"\xe6", "\x97\xa5", "\xc3", "\x9c", "\xff"}, {1, 0, 0, 1, 0});
  EXPECT_THAT(html, HasSubstr("0.00)\">日</span>"));
  EXPECT_THAT(html, HasSubstr("0.62)\">Ü</span>"));
  EXPECT_THAT(html, HasSubstr("0.00)\">\ufffd</span>"));
  EXPECT_EQ(html.find("\ufffd"), html.rfind("\ufffd"));
  // One that ends behind the shown ones is no part of them.
  EXPECT_THAT(shaded({"a", "\xc3", "\x9c"}, {1, 1}), HasSubstr("0.62)\">a</span></div>"));
  EXPECT_THAT(shaded({"a", "\xc3"}, {1, 1}), HasSubstr("0.62)\">a\ufffd</span></div>"));
}

TEST(ShadedText, JoinsNeighboursAndRepairsCharacters) {
  const std::string html = render(ShadedText{.title = "dms",
                                             .unit = "",
                                             .pieces = {"a", "<b>", "\xc3", "\xa9", "c"},
                                             .shares = {1, 1, 0, 0, 1}});
  EXPECT_THAT(html, HasSubstr("0.62)\">a&lt;b&gt;</span>"));
  EXPECT_THAT(html, HasSubstr("0.00)\">é</span>"));
  EXPECT_THAT(html, HasSubstr("0.62)\">c</span>"));
  EXPECT_EQ(render(ShadedText{}), "");
  const ShadedText book{.title = "",
                        .unit = "",
                        .pieces = std::vector<std::string>(5000, "x"),
                        .shares = std::vector<double>(5000, 0.5)};
  EXPECT_THAT(render(book), HasSubstr("2600 tokens left out"));
}

TEST(GridMap, HoldsAShareInEachCell) {
  GridMap map{.title = "dms & co",
              .unit = "",
              .x_name = "tokens",
              .y_name = "depth",
              .x_labels = {"512", "1024"},
              .y_labels = {"0%"},
              .shares = {{0.25, std::numeric_limits<double>::quiet_NaN()}}};
  const std::string html = render(map);
  EXPECT_THAT(html, HasSubstr("dms &amp; co"));
  EXPECT_THAT(html, HasSubstr("tokens 512, depth 0%: 25</title>"));
  EXPECT_THAT(html, HasSubstr("tokens 1024, depth 0%: –</title>"));
  EXPECT_THAT(html, Not(HasSubstr("nan")));
  map.x_labels.clear();
  EXPECT_EQ(render(map), "");
}

}  // namespace
}  // namespace dms::report
