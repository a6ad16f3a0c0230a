#include "train/config/overrides.h"

#include <string>

#include <gtest/gtest.h>

#include "support/errors.h"
#include "yaml/scalar.h"

namespace dms::train::config {
namespace {

using dms::testing_support::expect_parts;
using dms::testing_support::input_error;

Json changed(const std::string& yaml, const std::vector<std::string>& overrides) {
  yaml::Node root = yaml::parse(yaml, "t.yaml");
  apply_overrides(overrides, root);
  return yaml::as_json(root);
}

std::string error_of(const std::string& override_text) {
  return input_error([&] { changed("a: {b: 1}", {override_text}); });
}

TEST(Overrides, ReplaceAddAndEmpty) {
  EXPECT_EQ(changed("a: {b: 1}", {"a.b=2"}), Json::parse(R"({"a": {"b": 2}})"));
  EXPECT_EQ(changed("a: {b: 1}", {"a.c=[x, 1]"}), Json::parse(R"({"a": {"b": 1, "c": ["x", 1]}})"));
  EXPECT_EQ(changed("a: {b: 1}", {"c.d.e=yes"}),
            Json::parse(R"({"a": {"b": 1}, "c": {"d": {"e": true}}})"));
  EXPECT_EQ(changed("a: {b: 1}", {"a="}), Json::parse(R"({"a": null})"));
  EXPECT_EQ(changed("", {"a.b=1"}), Json::parse(R"({"a": {"b": 1}})"));
}

TEST(Overrides, TheLastOneCounts) {
  EXPECT_EQ(changed("a: 1", {"a=2", "a=3"}), Json::parse(R"({"a": 3})"));
  EXPECT_EQ(changed("a: 1", {"a={b: 1}", "a.b=3"}), Json::parse(R"({"a": {"b": 3}})"));
}

TEST(Overrides, OnlyTheFirstEqualsSignSeparates) {
  EXPECT_EQ(changed("a: 1", {"a=n == 3"}), Json::parse(R"({"a": "n == 3"})"));
}

TEST(Overrides, BadOnesSayWhy) {
  expect_parts(error_of("a.b"), {"--set", "no '='", "'a.b'", "SECTION.KEY=VALUE"});
  expect_parts(error_of("=1"), {"--set", "an empty key"});
  expect_parts(error_of("a..b=1"), {"an empty key"});
  expect_parts(error_of("a.=1"), {"an empty key"});
  expect_parts(error_of("a.b.c=1"), {"--set a.b.c", "through a value", "got 1"});
  expect_parts(error_of("a.b=[1"), {"--set a.b", "malformed YAML"});
  std::string deep = "a";
  for (int i = 0; i < 100'000; ++i) deep += ".a";
  expect_parts(error_of(deep + "=1"), {"too many keys"});
}

}  // namespace
}  // namespace dms::train::config
