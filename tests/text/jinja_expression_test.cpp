// Conditions on records, the filters of training data: what they mean is what Python means.

#include <array>
#include <random>
#include <string>

#include <gtest/gtest.h>

#include "base/json.h"
#include "support/errors.h"
#include "support/seed.h"
#include "support/shapes.h"
#include "text/jinja/jinja.h"

namespace dms::text::jinja {
namespace {

using dms::testing_support::expect_parts;
using dms::testing_support::input_error;
using dms::testing_support::seed;
using dms::testing_support::trials;

const Json& record() {
  static const Json json = Json::parse(R"({
    "quality": 0.9, "count": 3, "big": 9007199254740993, "zero": 0, "minus": -2,
    "text": "caf\u00e9 au lait", "empty": "", "yes": true, "no": false, "nothing": null,
    "correct": [false, true], "none_correct": [false, 0, "", null], "no_list": [],
    "meta": {"lang": "en", "tags": ["a", "b"], "deep": [{"x": 1}, {"x": 2}]},
    "odd key": {"a.b": 5}, "not_a_word": 1, "order": 7, "in_stock": true,
    "twins": {"items": 3, "get": 4}, "len": 5})");
  return json;
}

struct Case {
  const char* expression;
  bool holds;
};

class ExpressionTable : public ::testing::TestWithParam<Case> {};

TEST_P(ExpressionTable, MeansWhatPythonMeans) {
  EXPECT_EQ(Expression(GetParam().expression, "f").holds(record(), "r"), GetParam().holds)
      << GetParam().expression;
}

INSTANTIATE_TEST_SUITE_P(Expressions,
                         ExpressionTable,
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
                             Case{"  yes\n and\tyes ", true},
                             // what templates have beyond that
                             Case{"count * 2 + 1 == 7", true},
                             Case{"text.startswith('caf')", true},
                             Case{"meta.tags | length == 2", true},
                             Case{"meta.tags[-1] == 'b'", true},
                             Case{"count is odd", true},
                             // names that are also methods or functions
                             Case{"twins.items == 3 and twins.get == 4", true},
                             Case{"has(twins.items)", true},
                             Case{"has(meta.items)", false},
                             Case{"len == 5 and len(text) == 12", true},
                             // the whole record
                             Case{"record['odd key']['a.b'] == 5", true},
                             Case{"len(record) > 10", true},
                             Case{"has(record['no such key'])", false}),
                         [](const auto& item) { return "Case" + std::to_string(item.index); });

struct Malformed {
  const char* expression;
  const char* column;
  const char* what;
};

class ExpressionSyntax : public ::testing::TestWithParam<Malformed> {};

TEST_P(ExpressionSyntax, ErrorsNameTheColumn) {
  const std::string text = input_error([] { Expression(GetParam().expression, "data.x.filter"); });
  expect_parts(text,
               {"data.x.filter: column " + std::string(GetParam().column) + ":", GetParam().what});
}

INSTANTIATE_TEST_SUITE_P(Malformed,
                         ExpressionSyntax,
                         ::testing::Values(Malformed{"", "1", "the end of the expression"},
                                           Malformed{"a >", "4", "expected an expression"},
                                           Malformed{"a = 3", "3", "expected an operator"},
                                           Malformed{"a & b", "3", "unexpected character '&'"},
                                           Malformed{"(a", "3", "expected ')'"},
                                           Malformed{"a)", "2", "unexpected ')'"},
                                           Malformed{"a b", "3", "expected an operator"},
                                           Malformed{"'abc", "1", "string without end"},
                                           Malformed{"'abc\\", "1", "string without end"},
                                           Malformed{"12x", "3", "expected an operator"},
                                           Malformed{"a < -", "6", "expected an expression"},
                                           Malformed{"size(a)", "1", "unknown function 'size'"},
                                           Malformed{"1 + size(a)", "5", "unknown function"},
                                           Malformed{"range(3)", "1", "unknown function"},
                                           Malformed{"len()", "1", "takes one value"},
                                           Malformed{"len(a, b)", "1", "takes one value"},
                                           Malformed{"len(a", "6", "expected ')'"},
                                           Malformed{"has(3)", "5", "takes a field"},
                                           Malformed{"has(len(a))", "5", "takes a field"},
                                           Malformed{"a.", "3", "expected a name"},
                                           Malformed{"a[", "3", "expected an expression"},
                                           Malformed{"[1, 2", "6", "expected ']'"},
                                           Malformed{"and", "1", "unexpected 'and'"},
                                           Malformed{"a and", "6", "expected an expression"},
                                           Malformed{"not", "4", "expected an expression"},
                                           Malformed{"a not b", "3", "expected an operator"},
                                           Malformed{"é > 1", "1", "unexpected character"},
                                           Malformed{"'é' > $", "7", "character '$'"}),
                         [](const auto& item) { return "Case" + std::to_string(item.index); });

TEST(ExpressionLimits, DeepAndLongExpressionsAreRefused) {
  const auto nested = [](const std::string& open, int64_t depth) {
    std::string text;
    for (int64_t i = 0; i < depth; ++i) text += open;
    return text + "a";
  };
  for (const char* open : {"(", "[", "len(", "not ("}) {
    expect_parts(input_error([&] { Expression(nested(open, 1000), "f"); }), {"nested too deeply"});
  }
  expect_parts(input_error([&] { Expression(nested("(", 1'000'000), "f"); }), {"too long"});
  EXPECT_TRUE(Expression(nested("not ", 100) + " or true", "f").holds({{"a", 1}}, "r"));
  std::string chain = "yes";
  for (int i = 0; i < 500; ++i) chain += " and yes";
  EXPECT_TRUE(Expression(chain, "f").holds(record(), "r"));
}

TEST(ExpressionLimits, WorkAndMemoryAreCounted) {
  expect_parts(input_error([] { Expression("len('ab' * 99999999)", "f").holds({}, "r"); }),
               {"r: column 5: the expression makes too much text"});
  const Json long_list = {{"a", std::vector<int>(10'000, 0)}};
  EXPECT_FALSE(Expression("any(a)", "f").holds(long_list, "r", {.steps = 0, .bytes = 0}));
}

struct Unusable {
  const char* expression;
  const char* what;
};

class ExpressionTypes : public ::testing::TestWithParam<Unusable> {};

TEST_P(ExpressionTypes, RecordsItCannotJudgeAreNamed) {
  const Expression expression(GetParam().expression, "f");
  const std::string text = input_error([&] { expression.holds(record(), "data.jsonl:7: filter"); });
  expect_parts(text, {"data.jsonl:7: filter: column ", GetParam().what});
}

INSTANTIATE_TEST_SUITE_P(Values,
                         ExpressionTypes,
                         ::testing::Values(Unusable{"missing > 3", "1: field 'missing' is missing"},
                                           Unusable{"not missing", "5: field 'missing' is missing"},
                                           Unusable{"missing == 3", "ask for"},
                                           Unusable{"range == 3", "field 'range' is missing"},
                                           Unusable{"meta.missing", "no attribute 'missing'"},
                                           Unusable{"meta.missing", "has()"},
                                           Unusable{"meta.items", "no attribute 'items'"},
                                           Unusable{"meta.tags[2]", "no attribute '2'"},
                                           Unusable{"text.inner", "no attribute 'inner'"},
                                           Unusable{"text > 3",
                                                    "1: unsupported operands of '>': str"},
                                           Unusable{"nothing < 3", "None and int"},
                                           Unusable{"len(count) > 1", "len() of int"},
                                           Unusable{"any(text)", "any() of str, not of a list"},
                                           Unusable{"all(quality)", "all() of float"},
                                           Unusable{"3 in text", "operands of 'in': int and str"},
                                           Unusable{"'a' in count", "not iterable"}),
                         [](const auto& item) { return "Case" + std::to_string(item.index); });

// Whatever pieces follow one another: an answer or an InputError, nothing else.
TEST(ExpressionFuzz, RandomExpressionsAreAnsweredOrRefused) {
  constexpr std::array<const char*, 30> kPieces{
      "quality", "text", "meta", ".lang", "[0]",  "[",  "]",    "(",       ")",    "len(",
      "any(",    "has(", "and",  "or",    "not",  "in", "==",   "<",       ">=",   "'a'",
      "\"b\\",   "1",    "-2.5", "1e",    "true", ",",  "null", "correct", "\xC3", "#"};
  std::mt19937_64 random(seed());
  int64_t answered = 0;
  for (int64_t trial = 0; trial < trials(20'000); ++trial) {
    std::string expression;
    for (uint64_t pieces = random() % 8 + 1; pieces > 0; --pieces) {
      expression += kPieces.at(random() % kPieces.size());
      if (random() % 2 == 0) expression += ' ';
    }
    try {
      Expression(expression, "f").holds(record(), "r");
      ++answered;
    } catch (const InputError&) {
      continue;
    }
  }
  EXPECT_GT(answered, 0);
}

}  // namespace
}  // namespace dms::text::jinja
