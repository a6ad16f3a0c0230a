#include "train/data/fields.h"

#include <string>

#include <gtest/gtest.h>

#include "support/errors.h"

namespace dms::train::data {
namespace {

using testing_support::expect_parts;
using testing_support::input_error;

const Json& record() {
  static const Json json = Json::parse(R"({
    "text": "plain", "meta": {"title": {"en": "nested"}}, "number": 5, "nothing": null,
    "answers": ["first", "second", "third", "fourth"],
    "check": {"is_right": [true, true, false]}, "all_wrong": [false, null, 1, "true"]})");
  return json;
}

std::string text_at(const std::string& name) {
  return FieldPath(name, "setting").find_text(record(), "data.jsonl:3");
}

TEST(FieldPath, FollowsDots) {
  EXPECT_EQ(text_at("text"), "plain");
  EXPECT_EQ(text_at("meta.title.en"), "nested");
}

// The recipe walks both lists together, to the end of the shorter one, and keeps the last match.
TEST(FieldPath, MaskTakesTheLastMarkedElement) {
  EXPECT_EQ(text_at("answers[check.is_right]"), "second");
}

TEST(FieldPath, OnlyTrueMarks) {
  expect_parts(input_error([] { text_at("answers[all_wrong]"); }),
               {"data.jsonl:3: field answers[all_wrong]", "no element is marked", "any(NAME)"});
}

TEST(FieldPath, MissingFieldsNameRecordFieldAndWhatIsThere) {
  expect_parts(input_error([] { text_at("txt"); }),
               {"data.jsonl:3: field txt", "missing", "answers", "meta", "text"});
  expect_parts(input_error([] { text_at("meta.titel.en"); }), {"field meta.titel", "title"});
  expect_parts(input_error([] { text_at("text.en"); }), {"field text.en", "missing", "object"});
  expect_parts(input_error([] { text_at("nothing"); }), {"field nothing", "null"});
  expect_parts(input_error([] { text_at("answers[gone]"); }), {"field gone", "missing"});
}

TEST(FieldPath, OtherTypesAreRefused) {
  expect_parts(input_error([] { text_at("number"); }), {"field number", "number", "a string"});
  expect_parts(input_error([] { text_at("answers"); }), {"got a list", "answers[MASK]"});
  expect_parts(input_error([] { text_at("text[check.is_right]"); }), {"wrong type", "a list"});
  expect_parts(input_error([] { text_at("answers[text]"); }), {"wrong type", "a list"});
}

TEST(FieldPath, MalformedNamesAreRefused) {
  for (const char* name : {"", ".", "a.", ".a", "a..b", "a[", "a[]", "a[b", "[b]", "a[b.]"}) {
    expect_parts(input_error([&] { FieldPath(name, "data.datasets.x.text"); }),
                 {"data.datasets.x.text", "malformed field name"});
  }
}

TEST(FieldPath, ErrorsStayShortForWideRecords) {
  Json wide = Json::object();
  for (int i = 0; i < 1000; ++i) wide["field_" + std::to_string(i)] = i;
  const std::string text = input_error([&] { FieldPath("x", "s").find(wide, "r"); });
  EXPECT_LT(text.size(), 400u);
}

}  // namespace
}  // namespace dms::train::data
