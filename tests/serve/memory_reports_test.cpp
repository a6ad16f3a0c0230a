#include "serve/memory_reports.h"

#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace dms::serve {
namespace {

const Tokenizer& demo() {
  static const Tokenizer tokenizer(std::filesystem::path(DMS_SOURCE_DIR) / "models" / "demo");
  return tokenizer;
}

/// Of a model of two layers with two heads each.
MemoryReport report_of(const std::string& text, std::vector<int32_t> held_heads) {
  MemoryReport report{.ids = demo().encode(text, false), .held_heads = std::move(held_heads)};
  report.held_heads.resize(report.ids.size(), 4);
  report.kv.held_per_head = {{3, 2}, {1, 0}};
  return report;
}

OutJson heads(int64_t first, std::vector<int32_t> counts) {
  return {{"first", first}, {"counts", std::move(counts)}};
}

std::string joined(const OutJson& texts) {
  std::string all;
  for (const auto& text : texts) all += text.get<std::string>();
  return all;
}

TEST(MemoryReports, TellOfEachTokenWhatWasNotTold) {
  MemoryReports reports(demo(), 2, {});
  const std::string text = "It was a dark night and the wind";
  const OutJson first = reports.next(0, report_of(text, {4, 2, 3}));
  EXPECT_EQ(first["held_heads"], heads(1, {2, 3}));
  EXPECT_EQ(first["texts"]["first"], 0);
  EXPECT_EQ(joined(first["texts"]["texts"]), text);
  EXPECT_EQ(first["held_per_head"], OutJson::parse("[[3,2],[1,0]]"));
  const OutJson same = reports.next(0, report_of(text, {4, 2, 3}));
  EXPECT_EQ(same["held_heads"]["counts"], OutJson::array());
  EXPECT_EQ(same["texts"]["texts"], OutJson::array());
  const OutJson more = reports.next(0, report_of(text + " howled", {0, 2, 3, 4, 1}));
  EXPECT_EQ(more["held_heads"], heads(0, {0, 2, 3, 4, 1}));
  EXPECT_EQ(text + joined(more["texts"]["texts"]), text + " howled");
  // The other choice has been told nothing.
  EXPECT_EQ(joined(reports.next(1, report_of(text, {}))["texts"]["texts"]), text);
}

TEST(MemoryReports, LeaveWhatIsTooMuchToTheNext) {
  MemoryReports reports(demo(), 1, {.tokens = 3});
  const std::string text = "It was a dark night and the wind";
  const MemoryReport report = report_of(text, std::vector<int32_t>(5, 1));
  std::string told;
  std::vector<int32_t> counts;
  for (size_t i = 0; i < report.ids.size() && told != text; ++i) {
    const OutJson next = reports.next(0, report);
    EXPECT_LE(next["texts"]["texts"].size(), 3U);
    EXPECT_LE(next["held_heads"]["counts"].size(), 3U);
    told += joined(next["texts"]["texts"]);
    for (const auto& count : next["held_heads"]["counts"]) counts.push_back(count);
  }
  EXPECT_EQ(told, text);
  EXPECT_EQ(counts, std::vector<int32_t>(5, 1));
}

TEST(MemoryReports, TellTheRestWhereItIsTooMuchForTheLast) {
  const std::string text = "It was a dark night and the wind";
  MemoryReport report = report_of(text, std::vector<int32_t>(5, 1));
  MemoryReports reports(demo(), 2, {.tokens = 1});
  reports.next(0, report);
  std::vector<int32_t> counts(report.ids.size(), 4);
  counts[0] = 1;
  std::string told =
      demo().decode(std::vector<int32_t>(report.ids.begin(), report.ids.begin() + 1), false);
  for (const OutJson& rest : reports.rest(0, report)) {
    auto at = counts.begin() + rest["held_heads"]["first"].get<int64_t>();
    for (const auto& count : rest["held_heads"]["counts"]) *at++ = count;
    told += joined(rest["texts"]["texts"]);
  }
  EXPECT_EQ(counts, report.held_heads);
  EXPECT_EQ(told, text);
  EXPECT_TRUE(reports.rest(0, report).empty());
  EXPECT_TRUE(reports.rest(1, {}).empty());  // one that never had any
}

// A count that is another each time does not keep the others back.
TEST(MemoryReports, GoRoundWhereTooManyCountsDiffer) {
  MemoryReports reports(demo(), 1, {.tokens = 2});
  const std::string text = "It was a dark night and the wind";
  std::vector<std::pair<int64_t, int64_t>> spans;
  for (const int32_t changing : {0, 1, 0, 1, 0}) {
    const OutJson held = reports.next(0, report_of(text, {changing, 3, 3, 3, 3}))["held_heads"];
    spans.emplace_back(held["first"], std::ssize(held["counts"]));
  }
  EXPECT_EQ(spans,
            (std::vector<std::pair<int64_t, int64_t>>{{0, 2}, {2, 2}, {4, 1}, {0, 1}, {0, 1}}));
}

TEST(MemoryReports, GiveACharacterToTheTokenThatEndsIt) {
  MemoryReports reports(demo(), 1, {});
  const std::string text = "a\U0001F60A\u00e4b";
  const MemoryReport whole = report_of(text, {});
  ASSERT_GT(whole.ids.size(), 4U);  // the demo's vocabulary has no such characters
  std::string told;
  for (size_t count = 1; count <= whole.ids.size(); ++count) {
    MemoryReport part = whole;
    part.ids.resize(count);
    part.held_heads.resize(count);
    told += joined(reports.next(0, part)["texts"]["texts"]);
  }
  EXPECT_EQ(told, text);
}

TEST(MemoryReports, FollowACacheThatLostItsTokens) {
  MemoryReports reports(demo(), 1, {});
  reports.next(0, report_of("It was a dark night", {1, 1, 1, 1, 1}));
  const OutJson lost = reports.next(0, {});
  EXPECT_EQ(lost["tokens"], 0);
  const OutJson again = reports.next(0, report_of("It was a dark night", {1, 1, 4, 1, 1}));
  EXPECT_EQ(again["held_heads"], heads(0, {1, 1, 4, 1, 1}));
  EXPECT_EQ(again["texts"]["texts"], OutJson::array());
}

}  // namespace
}  // namespace dms::serve
