// Broken tables of replacements, and where characters end. The property tests compare sane ones
// with `tokenizers`.

#include "text/charsmap.h"

#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/errors.h"
#include "support/seed.h"
#include "text/graphemes.h"

namespace dms::text {
namespace {

using dms::testing_support::expect_parts;
using dms::testing_support::input_error;
using testing::ElementsAre;

std::string base64(const std::string& bytes) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t bits = 0;
    for (size_t j = 0; j < 3; ++j) {
      bits = bits << 8 | (i + j < bytes.size() ? static_cast<uint8_t>(bytes[i + j]) : 0);
    }
    for (size_t j = 0; j < 4; ++j) text += kDigits[bits >> (18 - 6 * j) & 63];
  }
  return text;
}

std::string packed(const std::vector<uint32_t>& units, const std::string& texts) {
  std::string bytes;
  const auto put = [&](uint32_t value) {
    for (int shift = 0; shift < 32; shift += 8) bytes.push_back(static_cast<char>(value >> shift));
  };
  put(static_cast<uint32_t>(4 * units.size()));
  for (const uint32_t unit : units) put(unit);
  return base64(bytes + texts);
}

std::string applied(const std::vector<uint32_t>& units, const std::string& text) {
  const GrowthLimit limit("test", text.size());
  return Charsmap(packed(units, std::string("X\0y\0", 4)), "test").apply(text, limit);
}

// "a" becomes the text at 0: its node is 'a' with a value, which lies at 'a' ^ 200.
std::vector<uint32_t> one_letter(uint32_t value) {
  std::vector<uint32_t> units(256);
  units['a'] = 'a' | 1u << 8 | 200u << 10;
  units['a' ^ 200u] = 1u << 31 | value;
  return units;
}

TEST(Charsmap, ReplacesCharactersByTheirBeginning) {
  EXPECT_EQ(applied(one_letter(0), "abA"), "XbA");
  EXPECT_EQ(applied(one_letter(2), "aa"), "yy");
  EXPECT_EQ(applied(one_letter(0), "a\u0301b\u0301"), "Xb\u0301");
  EXPECT_EQ(applied(one_letter(0), "a\u0301\u0301\u0301"), "X\u0301\u0301\u0301") << "too long";
}

TEST(Charsmap, StandsUnitsAndTextsOutOfBounds) {
  EXPECT_EQ(applied(one_letter(1u << 30), "aa"), "");
  std::vector<uint32_t> far = one_letter(0);
  far['a'] = 'a' | 1u << 8 | 0x1FFFFFu << 10 | 1u << 9;
  EXPECT_NO_THROW(applied(far, "aaaa"));
  EXPECT_EQ(applied({}, "abc"), "abc");
  std::mt19937_64 random(dms::testing_support::seed());
  for (int trial = 0; trial < 200; ++trial) {
    std::vector<uint32_t> units(random() % 600);
    for (uint32_t& unit : units) unit = static_cast<uint32_t>(random());
    EXPECT_NO_THROW(applied(units, "ab\u00e9\u0301\u4e2d \U0001F600xyz"));
  }
}

TEST(Charsmap, NamesWhatIsBroken) {
  const auto error = [](const std::string& text) {
    return input_error([&] { Charsmap(text, "here"); });
  };
  expect_parts(error("a-b"), {"here: precompiled_charsmap", "base64"});
  expect_parts(error("AA"), {"header"});
  expect_parts(error(base64(std::string("\xFF\xFF\xFF\xFF", 4))), {"does not fit"});
  expect_parts(error(base64(std::string("\0\0\0\0\xFF", 5))), {"UTF-8"});
}

std::vector<std::string> characters(std::string_view text) {
  std::vector<std::string> found;
  for (GraphemeScanner scanner(text); !scanner.is_done();) found.emplace_back(scanner.next());
  return found;
}

TEST(GraphemeScanner, EndsCharactersWhereReadersDo) {
  EXPECT_THAT(characters("ae\u0301\r\n\n"), ElementsAre("a", "e\u0301", "\r\n", "\n"));
  EXPECT_THAT(characters("\u1100\u1161\u11a8\u1161"), ElementsAre("\u1100\u1161\u11a8", "\u1161"));
  EXPECT_THAT(characters("\u0915\u094d\u0937\u0915"), ElementsAre("\u0915\u094d\u0937", "\u0915"));
  EXPECT_THAT(characters("\U0001F468\u200d\U0001F469a\u200db"),
              ElementsAre("\U0001F468\u200d\U0001F469", "a\u200d", "b"));
  EXPECT_THAT(characters("\u0600a\u0903\u200bb"), ElementsAre("\u0600a\u0903", "\u200b", "b"));
}

}  // namespace
}  // namespace dms::text
