// The hand-written splitters against the same patterns run by the regex engine.

#include "text/known_patterns.h"

#include <random>

#include <gtest/gtest.h>

#include "base/utf8.h"
#include "support/seed.h"
#include "text/all_matches.h"
#include "text/regex.h"

namespace dms::text {
namespace {

class KnownPatternTest : public testing::TestWithParam<std::string_view> {};

// Characters where the patterns take their decisions come up far more often than by chance.
std::string random_text(std::mt19937_64& random) {
  constexpr std::string_view kFrequent[] = {
      " ",          " ",      "\n",     "\r",     "\t",     "'",      "s",      "S",
      "t",          "re",     "VE",     "ll",     "d",      "m",      "\u017f", "a",
      "B",          "1",      "22",     ".",      "-",      "!?",     "\u00a0", "\u3000",
      "\u0085",     "\u2028", "\u00e9", "\u0301", "\u4e2d", "\u0663", "\u00bd", "\u2167",
      "\U0001F600", "\u200d", "_",      "\u200b", "\ufeff"};
  std::string text;
  const uint64_t length = random() % 24;
  for (uint64_t i = 0; i < length; ++i) {
    if (random() % 8 != 0) {
      text += kFrequent[random() % std::size(kFrequent)];
      continue;
    }
    const uint32_t any = static_cast<uint32_t>(random() % 0x20000);
    append_utf8(text, any >= 0xD800 && any <= 0xDFFF ? 'x' : any);
  }
  return text;
}

std::vector<std::string_view> by_regex(const Regex& regex, std::string_view text) {
  std::vector<std::string_view> pieces;
  for (const Match& match : testing_support::all_matches(regex, text)) {
    pieces.push_back(text.substr(match.start, match.end - match.start));
  }
  return pieces;
}

std::vector<std::string_view> by_hand(KnownPattern pattern, std::string_view text) {
  std::vector<std::string_view> pieces;
  split_known(pattern, text, [&](std::string_view piece) {
    pieces.push_back(piece);
    return true;
  });
  return pieces;
}

TEST_P(KnownPatternTest, SplitsLikeTheRegexEngine) {
  const uint64_t seed = dms::testing_support::seed();
  std::mt19937_64 random(seed);
  const Regex regex(GetParam(), "test");
  const KnownPattern known = recognise_pattern(GetParam()).value();
  for (int trial = 0; trial < 20000; ++trial) {
    const std::string text = random_text(random);
    ASSERT_EQ(by_hand(known, text), by_regex(regex, text))
        << "DMS_TEST_SEED=" << seed << " text: " << text;
  }
}

TEST_P(KnownPatternTest, ClassifiesEveryCodePointLikeTheRegexEngine) {
  const Regex regex(GetParam(), "test");
  const KnownPattern known = recognise_pattern(GetParam()).value();
  std::string text;
  for (uint32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    text += "a";
    append_utf8(text, c);
    if (c % 0x1000 != 0xFFF) continue;
    ASSERT_EQ(by_hand(known, text), by_regex(regex, text)) << "up to code point " << c;
    text.clear();
  }
}

std::string name_of(const testing::TestParamInfo<std::string_view>& pattern) {
  constexpr const char* kNames[] = {"gpt2", "llama3", "qwen2"};
  return kNames[pattern.index];
}

INSTANTIATE_TEST_SUITE_P(All,
                         KnownPatternTest,
                         testing::Values(kGpt2Pattern, kLlama3Pattern, kQwen2Pattern),
                         name_of);

}  // namespace
}  // namespace dms::text
