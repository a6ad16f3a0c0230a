#include "train/data/filter.h"

#include <array>
#include <random>
#include <string>

#include <gtest/gtest.h>

#include "support/errors.h"
#include "support/seed.h"
#include "support/shapes.h"

namespace dms::train::data {
namespace {

using testing_support::expect_parts;
using testing_support::input_error;

const Json& record() {
  static const Json json = Json::parse(R"({
    "quality": 0.9, "count": 3, "big": 9007199254740993, "zero": 0, "minus": -2,
    "text": "caf\u00e9 au lait", "empty": "", "yes": true, "no": false, "nothing": null,
    "correct": [false, true], "none_correct": [false, 0, "", null], "no_list": [],
    "meta": {"lang": "en", "tags": ["a", "b"], "deep": [{"x": 1}, {"x": 2}]},
    "odd key": {"a.b": 5}, "not_a_word": 1, "order": 7, "in_stock": true})");
  return json;
}

struct Case {
  const char* expression;
  bool keeps;
};

class FilterTable : public ::testing::TestWithParam<Case> {};

TEST_P(FilterTable, MeansWhatPythonMeans) {
  EXPECT_EQ(Filter(GetParam().expression, "f").keeps(record(), "r"), GetParam().keeps)
      << GetParam().expression;
}

INSTANTIATE_TEST_SUITE_P(Expressions,
                         FilterTable,
                         ::testing::Values(
                             // comparisons
                             Case{"quality > 0.8", true},
                             Case{"quality>0.8", true},
                             Case{"quality < 0.8", false},
                             Case{"count >= 3", true},
                             Case{"count <= 2.5", false},
                             Case{"count == 3.0", true},
                             Case{"count != 3", false},
                             Case{"big == 9007199254740993", true},
                             Case{"big == 9007199254740992", false},
                             Case{"minus == -2", true},
                             Case{"minus > -3e0", true},
                             Case{"0 <= minus < 5", false},
                             Case{"0.5 <= quality < 1 == yes", true},
                             Case{"1 < count < 5", true},
                             Case{"1 < count > 2", true},
                             Case{"meta.lang == 'en'", true},
                             Case{"meta.lang == \"de\"", false},
                             Case{"meta.lang < 'f'", true},
                             Case{"yes == true", true},
                             Case{"yes == True", true},
                             Case{"yes == 1", true},
                             Case{"no < yes", true},
                             Case{"yes == 'true'", false},
                             Case{"nothing == null", true},
                             Case{"nothing == None", true},
                             Case{"empty == null", false},
                             Case{"meta.tags == ['a', 'b']", true},
                             Case{"meta.tags == []", false},
                             // fields
                             Case{"meta.tags[1] == 'b'", true},
                             Case{"meta.deep[1].x == 2", true},
                             Case{"meta['lang'] == 'en'", true},
                             Case{"yes and not no", true},
                             Case{"not_a_word == 1 and order == 7 and in_stock", true},
                             Case{"meta . lang == 'en'", true},
                             // truth
                             Case{"quality", true},
                             Case{"zero", false},
                             Case{"empty", false},
                             Case{"nothing", false},
                             Case{"no_list", false},
                             Case{"correct", true},
                             Case{"not empty", true},
                             Case{"not not empty", false},
                             // and, or, not: precedence as in Python
                             Case{"yes or no and no", true},
                             Case{"(yes or no) and no", false},
                             Case{"not no and yes", true},
                             Case{"not (no or yes)", false},
                             Case{"not count == 3", false},
                             Case{"no or no or yes", true},
                             Case{"yes or missing > 3", true},
                             Case{"no and missing > 3", false},
                             // in
                             Case{"meta.lang in ['de', 'en']", true},
                             Case{"meta.lang not in ['de', 'en']", false},
                             Case{"'au' in text", true},
                             Case{"'tea' in text", false},
                             Case{"'lang' in meta", true},
                             Case{"'x' in meta", false},
                             Case{"3 in [1, 2, count]", true},
                             Case{"count in []", false},
                             Case{"'a' in meta.tags and 'c' not in meta.tags", true},
                             // functions
                             Case{"len(text) == 12", true},
                             Case{"len(meta.tags) > 1", true},
                             Case{"len(meta) == 3", true},
                             Case{"len(no_list) == 0", true},
                             Case{"any(correct)", true},
                             Case{"all(correct)", false},
                             Case{"any(none_correct)", false},
                             Case{"all(no_list)", true},
                             Case{"any(no_list)", false},
                             Case{"any([no, yes])", true},
                             Case{"has(quality)", true},
                             Case{"has(missing)", false},
                             Case{"has(nothing)", false},
                             Case{"has(meta.tags[5])", false},
                             Case{"has(meta.lang.inner)", false},
                             Case{"has(missing) and missing > 3", false},
                             Case{"quality > 0.8 and any(correct)", true},
                             // text
                             Case{R"('it\'s' == "it's")", true},
                             Case{R"(len("a\nb\t\\") == 5)", true},
                             Case{"  yes\n and\tyes ", true}),
                         [](const auto& item) { return "Case" + std::to_string(item.index); });

TEST(FilterFields, QuotedKeysReachWhatNamesCannot) {
  const Json odd = Json::parse(R"({"a": {"b c": {"d.e": 5}}})");
  EXPECT_TRUE(Filter("a['b c'][\"d.e\"] == 5", "f").keeps(odd, "r"));
}

struct Malformed {
  const char* expression;
  const char* column;
  const char* what;
};

class FilterSyntax : public ::testing::TestWithParam<Malformed> {};

TEST_P(FilterSyntax, ErrorsNameTheColumn) {
  const std::string text = input_error([] { Filter(GetParam().expression, "data.x.filter"); });
  expect_parts(text,
               {"data.x.filter: column " + std::string(GetParam().column) + ":", GetParam().what});
}

INSTANTIATE_TEST_SUITE_P(Malformed,
                         FilterSyntax,
                         ::testing::Values(Malformed{"", "1", "expected a field or a value"},
                                           Malformed{"a >", "4", "the end"},
                                           Malformed{"a = 3", "3", "expected an operator"},
                                           Malformed{"a & b", "3", "got '& b'"},
                                           Malformed{"(a", "3", "expected ')'"},
                                           Malformed{"a)", "2", "expected an operator"},
                                           Malformed{"a b", "3", "expected an operator"},
                                           Malformed{"'abc", "5", "unfinished text"},
                                           Malformed{"'abc\\", "6", "unfinished text"},
                                           Malformed{"1.2.3 < a", "1", "malformed number"},
                                           Malformed{"12x", "1", "malformed number"},
                                           Malformed{"a < -", "5", "malformed number"},
                                           Malformed{"size(a)", "1", "unknown function"},
                                           Malformed{"len()", "5", "expected a field"},
                                           Malformed{"len(a", "6", "expected ')'"},
                                           Malformed{"has(3)", "6", "takes a field"},
                                           Malformed{"a.", "3", "expected a field's name"},
                                           Malformed{"a[b]", "3", "expected a place"},
                                           Malformed{"a[-1]", "3", "expected a place"},
                                           Malformed{"a[1.5]", "6", "expected a place"},
                                           Malformed{"[1, 2", "6", "expected ','"},
                                           Malformed{"and", "1", "expected a field"},
                                           Malformed{"a and", "6", "expected a field"},
                                           Malformed{"not", "4", "expected a field"},
                                           Malformed{"a not b", "3", "expected an operator"},
                                           Malformed{"é > 1", "1", "expected a field"}),
                         [](const auto& item) { return "Case" + std::to_string(item.index); });

TEST(FilterLimits, DeepAndLongExpressionsAreRefused) {
  const auto nested = [](const std::string& open, int64_t depth) {
    std::string text;
    for (int64_t i = 0; i < depth; ++i) text += open;
    return text + "a";
  };
  for (const char* open : {"(", "[", "len(", "not ("}) {
    expect_parts(input_error([&] { Filter(nested(open, 1000), "f"); }), {"nested too deeply"});
  }
  expect_parts(input_error([&] { Filter(nested("(", 1'000'000), "f"); }), {"too long"});
  EXPECT_TRUE(Filter(nested("not ", 400) + " or true", "f").keeps({{"a", 1}}, "r"));
  std::string chain = "yes";
  for (int i = 0; i < 500; ++i) chain += " and yes";
  EXPECT_TRUE(Filter(chain, "f").keeps(record(), "r"));
}

struct Unusable {
  const char* expression;
  const char* what;
};

class FilterTypes : public ::testing::TestWithParam<Unusable> {};

TEST_P(FilterTypes, RecordsItCannotJudgeAreNamed) {
  const Filter filter(GetParam().expression, "f");
  const std::string text = input_error([&] { filter.keeps(record(), "data.jsonl:7"); });
  expect_parts(text, {"data.jsonl:7: filter: ", GetParam().what});
}

INSTANTIATE_TEST_SUITE_P(Values,
                         FilterTypes,
                         ::testing::Values(Unusable{"missing > 3", "field missing is missing"},
                                           Unusable{"not missing", "has(missing)"},
                                           Unusable{"meta.missing", "field meta.missing"},
                                           Unusable{"meta.tags[2]", "field meta.tags[2]"},
                                           Unusable{"text.inner", "field text.inner"},
                                           Unusable{"text > 3", "a string is > a number"},
                                           Unusable{"nothing < 3", "a null is < a number"},
                                           Unusable{"len(count) > 1", "len() of number"},
                                           Unusable{"any(text)", "any() needs a list"},
                                           Unusable{"all(quality)", "all() needs a list"},
                                           Unusable{"3 in text", "'in' needs a list"},
                                           Unusable{"'a' in count", "'in' needs a list"}),
                         [](const auto& item) { return "Case" + std::to_string(item.index); });

// Whatever pieces follow one another: an answer or an InputError, nothing else.
TEST(FilterFuzz, RandomExpressionsAreAnsweredOrRefused) {
  constexpr std::array<const char*, 30> kPieces{
      "quality", "text", "meta", ".lang", "[0]",  "[",  "]",    "(",       ")",    "len(",
      "any(",    "has(", "and",  "or",    "not",  "in", "==",   "<",       ">=",   "'a'",
      "\"b\\",   "1",    "-2.5", "1e",    "true", ",",  "null", "correct", "\xC3", "#"};
  std::mt19937_64 random(testing_support::seed());
  int64_t answered = 0;
  for (int64_t trial = 0; trial < testing_support::trials(20'000); ++trial) {
    std::string expression;
    for (uint64_t pieces = random() % 8 + 1; pieces > 0; --pieces) {
      expression += kPieces.at(random() % kPieces.size());
      if (random() % 2 == 0) expression += ' ';
    }
    try {
      Filter(expression, "f").keeps(record(), "r");
      ++answered;
    } catch (const InputError&) {
      continue;
    }
  }
  EXPECT_GT(answered, 0);
}

}  // namespace
}  // namespace dms::train::data
