// Patterns of schemas: an answer is a text that the pattern matches, and every one may come.

#include "grammar/pattern.h"

#include <random>
#include <regex>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <xgrammar/matcher.h>

#include "base/json.h"
#include "engine/guide.h"
#include "grammar/compiled_structure.h"
#include "grammar/guides.h"
#include "support/errors.h"
#include "support/letters.h"
#include "support/seed.h"

namespace dms::grammar {
namespace {

using testing_support::expect_parts;
using testing_support::input_error;

constexpr int64_t kMostCount = 10000;

/// Says of texts whether they may be an answer.
class Answers : public testing::Test {
 protected:
  void hold_to(const Json& schema) {
    form_ = guides_->compile(
        {.kind = Structure::Kind::json_schema, .text = schema.dump(), .any_whitespace = false}, {});
  }
  void hold_to_pattern(const std::string& pattern) {
    hold_to({{"type", "string"}, {"pattern", pattern}});
  }
  bool may_be(const std::string& answer) const {
    xgrammar::GrammarMatcher matcher(form_->grammar(),
                                     std::vector<int>{testing_support::kEndToken});
    return matcher.AcceptString(answer) && matcher.IsCompleted();
  }
  bool may_be_text(const std::string& text) const { return may_be("\"" + text + "\""); }

  std::unique_ptr<engine::GuideMaker> guides_ =
      make_guides(testing_support::letters_tokenizer(), 100);
  std::shared_ptr<const CompiledStructure> form_;
};

/// Small patterns of a, b and c.
class RandomPatterns {
 public:
  explicit RandomPatterns(uint64_t seed) : random_(seed) {}

  std::string next() {
    std::string out;
    do out = alternatives(3);
    while (out.empty() || out.size() > 40);
    return out;
  }

 private:
  size_t below(size_t end) { return std::uniform_int_distribution<size_t>(0, end - 1)(random_); }

  std::string alternatives(int levels) {
    std::string out = below(12) == 0 ? "" : sequence(levels);
    if (below(3) == 0) out.append("|").append(sequence(levels));
    if (below(12) == 0) out += '|';
    return out;
  }
  std::string sequence(int levels) {
    static const std::vector<std::string> kCounts{
        "?", "+", "*", "{2}", "{0,2}", "{1,2}", "{2,}", "{0,}", "{1,}", "{2,3}", "+?", "{0}"};
    std::string out;
    for (size_t parts = 1 + below(3); parts > 0; --parts) {
      out += part(levels);
      if (below(5) < 2) out += kCounts[below(kCounts.size())];
    }
    return out;
  }
  std::string part(int levels) {
    static const std::vector<std::string> kCharacters{"a", "b", "c", "[ab]", "[^a]", "."};
    if (levels == 0 || below(2) == 0) return kCharacters[below(kCharacters.size())];
    std::string out = below(2) == 0 ? "(" : "(?:";
    return out.append(alternatives(levels - 1)).append(")");
  }

  std::mt19937_64 random_;
};

std::vector<std::string> texts_up_to(size_t length) {
  std::vector<std::string> texts{""};
  for (size_t at = 0; texts[at].size() < length; ++at) {
    for (const char c : {'a', 'b', 'c'}) texts.push_back(texts[at] + c);
  }
  return texts;
}

TEST_F(Answers, AreTheTextsThatAPatternMatches) {
  const uint64_t seed = testing_support::seed();
  RandomPatterns patterns(seed);
  const std::vector<std::string> texts = texts_up_to(5);
  for (int i = 0; i < 150; ++i) {
    const std::string pattern = patterns.next();
    hold_to_pattern(pattern);
    // It would go on for minutes at some of them by the way that it takes by default.
    const std::regex expected(pattern, std::regex::ECMAScript | std::regex_constants::__polynomial);
    const LengthBounds lengths = read_pattern(pattern, kMostCount).lengths;
    for (const std::string& text : texts) {
      const bool matches = std::regex_match(text, expected);
      ASSERT_EQ(may_be_text(text), matches) << pattern << " of '" << text << "', seed " << seed;
      if (!matches) continue;
      ASSERT_LE(lengths.least, std::ssize(text)) << pattern << ", seed " << seed;
      ASSERT_GE(lengths.most, std::ssize(text)) << pattern << ", seed " << seed;
    }
  }
}

TEST_F(Answers, HaveAGroupWholeOrNotAtAll) {
  hold_to_pattern("^a(b[0-9]{1,9})?Z$");
  EXPECT_TRUE(may_be_text("aZ"));
  EXPECT_TRUE(may_be_text("ab123Z"));
  EXPECT_FALSE(may_be_text("a89Z"));
  hold_to_pattern("(xa{1,2}){2,}");
  EXPECT_TRUE(may_be_text("xaaxa"));
  EXPECT_FALSE(may_be_text("xaxaaaxa"));
  hold_to_pattern("(a+-)?b");
  EXPECT_TRUE(may_be_text("aa-b"));
  EXPECT_FALSE(may_be_text("ab"));
  hold_to_pattern("b|([ab]|b{1,2}){1,2}");
  EXPECT_TRUE(may_be_text("bbbb"));
  EXPECT_FALSE(may_be_text("aaa"));
  hold_to_pattern("(b|([ab]|b{1,2}){1,2}){150}");
  EXPECT_TRUE(may_be_text(std::string(300, 'a')));
  EXPECT_FALSE(may_be_text(std::string(301, 'a')));
  hold_to({{"type", "string"}, {"format", "time"}});
  EXPECT_TRUE(may_be_text("10:00:00Z"));
  EXPECT_TRUE(may_be_text("10:00:00.25+01:00"));
  EXPECT_FALSE(may_be_text("10:00:0025Z"));
}

/// As pydantic writes dict[Enum, int] and HttpUrl.
TEST_F(Answers, HaveTheNamesThatAreListed) {
  hold_to({{"$defs", {{"Color", {{"enum", {"red", "$", "\u00e4"}}, {"type", "string"}}}}},
           {"type", "object"},
           {"propertyNames", {{"$ref", "#/$defs/Color"}}},
           {"additionalProperties", {{"type", "integer"}}}});
  EXPECT_TRUE(may_be("{}"));
  EXPECT_TRUE(may_be("{\"$\": 1, \"red\": 22, \"\u00e4\": 3}"));
  EXPECT_FALSE(may_be(R"({"re": 1})"));
  EXPECT_FALSE(may_be(R"({"red": "1"})"));
  hold_to({{"type", "object"}, {"propertyNames", {{"const", ""}}}});
  EXPECT_TRUE(may_be(R"({"": null})"));
  EXPECT_FALSE(may_be(R"({"a": null})"));
}

TEST_F(Answers, AreShortAddresses) {
  hold_to({{"type", "string"}, {"format", "uri"}, {"minLength", 1}, {"maxLength", 1555}});
  EXPECT_TRUE(may_be_text("https://example.com:8080/a/b.html?c=d#e"));
  EXPECT_FALSE(may_be_text("https://" + std::string(40, 'a')));
  EXPECT_FALSE(may_be_text("example.com"));
}

/// Whatever else a pattern speaks of.
TEST_F(Answers, AreJson) {
  const std::vector<std::string> patterns{"[^\u00e4]{1,5}",
                                          ".{1,10000}",
                                          "[^a]{1,9000}x?",
                                          "(\u00e4|[^b])+",
                                          R"([^"\n]+)",
                                          R"(\u00e4|\S[\W_]*)",
                                          "(?i)[^k]+",
                                          R"([ -~]+\ud83d\ude00?)"};
  for (const std::string& pattern : patterns) {
    hold_to_pattern(pattern);
    for (const char* broken : {"\"", "a\"b", "\n", "\\", "a\\", "\x7"}) {
      EXPECT_FALSE(may_be_text(broken)) << pattern;
    }
    hold_to({{"type", "object"}, {"patternProperties", {{pattern, true}}}});
    EXPECT_FALSE(may_be("{\"a\"b\": 1}")) << pattern;
  }
  hold_to_pattern("(?i)[^k]+");
  EXPECT_TRUE(may_be_text("a\u00e4"));
  EXPECT_FALSE(may_be_text("K"));
  hold_to_pattern(R"([\^\-\]]|[\u00e4-\xff]|\ud83d\ude00)");
  for (const char* text : {"^", "-", "]", "\u00e4", "\u00ff", "\U0001f600"}) {
    EXPECT_TRUE(may_be_text(text)) << text;
  }
  EXPECT_FALSE(may_be_text("a"));
}

TEST(Pattern, IsWrittenAnew) {
  const std::vector<std::pair<const char*, const char*>> cases{
      {"^a$|^b$", "(a|b)()"},
      {"(ab)?c?", "(((ab)|)c?)()"},
      {"(?:ab){3,}(a){2}", "(((ab)()){3,}((a)()){2,2})()"},
      {"(?<word>\\w){0,}", "(([0-9A-Z_a-z])*)()"},
      {"()|", "(()|)()"},
      {"a{0}b{2,3}?", "(()b{2,3})()"},
      {"[\"-$]", "([#-\\$])()"},
      {"[\\^x]", "([x\\^])()"},
      {"\u00e4\\.", "(\\u{e4}\\.)()"},
  };
  for (const auto& [pattern, text] : cases) EXPECT_EQ(read_pattern(pattern, kMostCount).text, text);
}

TEST(Pattern, KnowsHowLongItsTextsAre) {
  const auto lengths = [](const char* pattern) {
    const LengthBounds found = read_pattern(pattern, kMostCount).lengths;
    return std::pair(found.least, found.most);
  };
  EXPECT_EQ(lengths(""), std::pair(0L, 0L));
  EXPECT_EQ(lengths("^\u00e4{3}(b|cde)?$"), std::pair(3L, 6L));
  EXPECT_EQ(lengths("(a{2,}|b){2}"), std::pair(2L, LengthBounds::kNoEnd));
  EXPECT_EQ(lengths("((((a{9999}){9999}){9999}){9999}){9999}").first, LengthBounds::kNoEnd);
}

TEST(Pattern, SaysWhatItCannotBe) {
  const std::vector<std::pair<std::string, const char*>> cases{
      {"a\"b", "JSON escapes, at byte 2"},
      {"\\\\", "JSON escapes"},
      {"[\\n\\t]", "JSON escapes"},
      {"[^ -\\u{10ffff}]", "JSON escapes"},
      {"\\ud83d", "JSON escapes"},
      {"a(?=b)", "looks ahead"},
      {"(?<=a)b", "looks behind"},
      {"(?<a", "does not end"},
      {"(a", "does not end"},
      {"a)", "closes nothing"},
      {"[^a]]", "closes nothing"},
      {"[a", "ends too early"},
      {"a\\", "ends too early"},
      {"[]", "class of nothing"},
      {"[b-a]", "range that is none"},
      {"[a-\\d]", "range that is none"},
      {"a|*", "repeats nothing"},
      {"a+*", "repeats a repetition"},
      {"a{2}{3}", "repeats a repetition"},
      {"a{,3}", "without a count"},
      {"a{3,1}", "wrong way round"},
      {"a{3", "does not end"},
      {"a{10001}", "more than 10000"},
      {"a{99999999999999999999}", "more than 10000"},
      {"(^a)", "anchor"},
      {"a$b", "goes on after the end"},
      {"\\bx", "an escape not known here"},
      {"(a)\\1", "an escape not known here"},
      {"\\x4", "ends too early"},
      {"\\u{}", "no number"},
      {"\\u{110000}", "no character"},
      {"\\ud83d\\u0061", "half of a character"},
      {std::string(101, '(') + std::string(101, ')'), "too deep"},
  };
  for (const auto& [pattern, part] : cases) {
    SCOPED_TRACE(pattern);
    expect_parts(input_error([&] { read_pattern(pattern, kMostCount); }), {part});
  }
}

}  // namespace
}  // namespace dms::grammar
