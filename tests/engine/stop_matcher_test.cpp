#include "engine/stop_matcher.h"

#include <cstdlib>
#include <random>

#include <gtest/gtest.h>

#include "dms/error.h"

namespace dms::engine {
namespace {

uint64_t test_seed() {
  const char* seed = std::getenv("DMS_TEST_SEED");
  return seed == nullptr ? 20260101 : std::strtoull(seed, nullptr, 10);
}

struct Whole {
  std::string text;
  bool stopped = false;
};

/// Grows the text byte by byte; the first end of a stop string wins, then the longest.
Whole search_whole(const std::string& text, const std::vector<std::string>& stops) {
  for (size_t end = 1; end <= text.size(); ++end) {
    size_t longest = 0;
    for (const std::string& stop : stops) {
      if (text.substr(0, end).ends_with(stop)) longest = std::max(longest, stop.size());
    }
    if (longest > 0) return {text.substr(0, end - longest), true};
  }
  return {text, false};
}

TEST(StopMatcher, PassesTextThroughWithoutStops) {
  StopMatcher matcher({});
  EXPECT_EQ(matcher.push("some text").emit, "some text");
  EXPECT_EQ(matcher.finish(), "");
}

TEST(StopMatcher, HoldsBackWhatMayBeginAStop) {
  StopMatcher matcher({"END"});
  EXPECT_EQ(matcher.push("aE").emit, "a");
  EXPECT_EQ(matcher.push("N").emit, "");
  EXPECT_EQ(matcher.push("x").emit, "ENx");
  EXPECT_EQ(matcher.push("EN").emit, "");
  EXPECT_EQ(matcher.finish(), "EN");
}

TEST(StopMatcher, DropsTheStopAndAllThatFollows) {
  StopMatcher matcher({"END"});
  EXPECT_FALSE(matcher.push("text E").stopped);
  const StopMatcher::Result result = matcher.push("ND more");
  EXPECT_TRUE(result.stopped);
  EXPECT_EQ(result.emit, "");
  EXPECT_EQ(matcher.push("more").emit, "");
  EXPECT_TRUE(matcher.push("more").stopped);
  EXPECT_EQ(matcher.finish(), "");
}

TEST(StopMatcher, PrefersTheEarliestEndThenTheEarliestStart) {
  StopMatcher earliest_end({"abcd", "bc"});
  EXPECT_EQ(earliest_end.push("abcd").emit, "a");
  StopMatcher earliest_start({"cd", "bcd"});
  EXPECT_EQ(earliest_start.push("abcd").emit, "a");
}

TEST(StopMatcher, RefusesAnEmptyStop) { EXPECT_THROW(StopMatcher({"a", ""}), InputError); }

TEST(StopMatcher, EqualsASearchOfTheWholeTextForAnyPieces) {
  const uint64_t seed = test_seed();
  std::mt19937_64 random(seed);
  const auto text_of = [&](size_t length) {
    std::string text;
    while (text.size() < length) text += "ab\xc3"[random() % 3];
    return text;
  };
  for (int trial = 0; trial < 3000; ++trial) {
    std::vector<std::string> stops;
    for (size_t count = random() % 4; count > 0; --count)
      stops.push_back(text_of(1 + random() % 5));
    const std::string text = text_of(random() % 30);
    StopMatcher matcher(stops);
    std::string emitted;
    bool stopped = false;
    for (size_t at = 0; at < text.size() && !stopped;) {
      const size_t length = 1 + random() % 6;
      const StopMatcher::Result result = matcher.push(std::string_view(text).substr(at, length));
      emitted += result.emit;
      stopped = result.stopped;
      at += length;
    }
    emitted += matcher.finish();
    const Whole expected = search_whole(text, stops);
    ASSERT_EQ(emitted, expected.text) << "seed " << seed << ", trial " << trial;
    ASSERT_EQ(stopped, expected.stopped) << "seed " << seed << ", trial " << trial;
  }
}

}  // namespace
}  // namespace dms::engine
