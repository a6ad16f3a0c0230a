// Broken and hostile tokenizer.json files: every one an InputError that says what and where.

#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dms/error.h"
#include "text/tokenizer.h"
#include "text/tokenizer_fixture.h"

namespace dms::text {
namespace {

struct BrokenCase {
  std::string name;
  std::function<void(Json&)> breaks;
  std::string named;  // must be part of the message
};

class TokenizerRejects : public testing::TestWithParam<BrokenCase> {};

TEST_P(TokenizerRejects, WithWhatAndWhere) {
  Json json = testing_support::tokenizer_json({"a", "b", "ab"}, {{"a", "b"}});
  GetParam().breaks(json);
  try {
    testing_support::parsed(json);
    FAIL() << "accepted: " << json.dump();
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("test.json"));
    EXPECT_THAT(error.what(), testing::HasSubstr(GetParam().named));
  }
}

Json typed(const char* type) { return {{"type", type}}; }

Json split_by(const char* pattern) {
  return {{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}};
}

INSTANTIATE_TEST_SUITE_P(
    All,
    TokenizerRejects,
    testing::Values(
        BrokenCase{"NoModel", [](Json& j) { j.erase("model"); }, "model"},
        BrokenCase{"OtherModel", [](Json& j) { j["model"]["type"] = "WordPiece"; }, "WordPiece"},
        BrokenCase{"NoVocabulary", [](Json& j) { j["model"].erase("vocab"); }, "vocab"},
        BrokenCase{"IdTwice", [](Json& j) { j["model"]["vocab"]["z"] = 1; }, "twice"},
        BrokenCase{"NegativeId", [](Json& j) { j["model"]["vocab"]["z"] = -1; }, "range"},
        BrokenCase{"HugeId", [](Json& j) { j["model"]["vocab"]["z"] = 4'000'000'000; }, "range"},
        BrokenCase{"IdAsText", [](Json& j) { j["model"]["vocab"]["z"] = "1"; }, "'z'"},
        BrokenCase{"UnknownMerge", [](Json& j) { j["model"]["merges"] = {"a q"}; }, "'q'"},
        BrokenCase{"UnknownResult", [](Json& j) { j["model"]["merges"] = {"b a"}; }, "'ba'"},
        BrokenCase{"MergeOfThree", [](Json& j) { j["model"]["merges"] = {"a b c"}; }, "bad merge"},
        BrokenCase{"MergeOfNumbers", [](Json& j) { j["model"]["merges"] = {1}; }, "bad merge"},
        BrokenCase{"Dropout", [](Json& j) { j["model"]["dropout"] = 0.1; }, "dropout"},
        BrokenCase{"UnknownUnk", [](Json& j) { j["model"]["unk_token"] = "?"; }, "unk_token"},
        BrokenCase{"Normalizer", [](Json& j) { j["normalizer"] = typed("Bert"); }, "Bert"},
        BrokenCase{"PreTokenizer", [](Json& j) { j["pre_tokenizer"] = typed("Bert"); }, "Bert"},
        BrokenCase{"PostProcessor", [](Json& j) { j["post_processor"] = typed("Odd"); }, "Odd"},
        BrokenCase{"Decoder", [](Json& j) { j["decoder"] = typed("CTC"); }, "CTC"},
        BrokenCase{"Script",
                   [](Json& j) { j["pre_tokenizer"] = split_by(R"(\p{Greek})"); },
                   R"(\p{Greek})"},
        BrokenCase{"Template",
                   [](Json& j) {
                     j["post_processor"] = {{"type", "TemplateProcessing"},
                                            {"single", {{{"SpecialToken", {{"id", "<none>"}}}}}}};
                   },
                   "<none>"},
        BrokenCase{"AddedTokenElsewhere",
                   [](Json& j) {
                     j["added_tokens"] = {{{"id", 1}, {"content", "new"}}};
                   },
                   "added_tokens"},
        BrokenCase{"AddedTokenFar",
                   [](Json& j) {
                     j["added_tokens"] = {{{"id", 1 << 30}, {"content", "new"}}};
                   },
                   "added_tokens"}),
    [](const auto& case_info) { return case_info.param.name; });

TEST(TokenizerErrors, TextThatIsNoJson) {
  EXPECT_THROW(Tokenizer::parse("", "x"), InputError);
  EXPECT_THROW(Tokenizer::parse("[]", "x"), InputError);
  EXPECT_THROW(Tokenizer::parse("{\"model\":", "x"), InputError);
  EXPECT_THROW(Tokenizer::parse(std::string(1'000'000, '['), "x"), InputError);
  EXPECT_THROW(Tokenizer::load("/nonexistent/tokenizer.json"), InputError);
}

TEST(TokenizerErrors, ACatastrophicPatternFailsWhenItIsMet) {
  Json json = testing_support::tokenizer_json({"a"});
  json["pre_tokenizer"] = split_by("(?:a|aa)+[bc]");
  const Tokenizer tokenizer = testing_support::parsed(json);
  EXPECT_THROW(tokenizer.encode(std::string(64, 'a'), false), InputError);
}

}  // namespace
}  // namespace dms::text
