#include "yaml/tree.h"

#include <string>

#include <gtest/gtest.h>

#include "support/errors.h"
#include "yaml/scalar.h"

namespace dms::yaml {
namespace {

using dms::testing_support::expect_parts;
using dms::testing_support::input_error;

std::string error_of(const std::string& yaml) {
  return input_error([&] { parse(yaml, "t.yaml"); });
}

std::string repeated(const std::string& text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

TEST(YamlTree, RemembersWhereKeysStood) {
  const Node root = parse("# a comment\na: 1\nb:\n  c: [x, y]\n  d:\n", "t.yaml");
  EXPECT_EQ(root.find("a")->where, "t.yaml:2");
  EXPECT_EQ(root.find("b")->where, "t.yaml:3");
  EXPECT_EQ(root.find("b")->find("c")->where, "t.yaml:4");
  EXPECT_EQ(root.find("b")->find("c")->children[1].text, "y");
  EXPECT_TRUE(root.find("b")->find("d")->is_null());
  EXPECT_EQ(root.find("b")->find("d")->where, "t.yaml:5");
  EXPECT_EQ(root.find("z"), nullptr);
}

TEST(YamlTree, AliasesAndBlocks) {
  const Node root = parse("a: &x {n: 1}\nb: *x\nc: |\n  two\n  lines\nd: ~\n", "t.yaml");
  EXPECT_EQ(root.find("b")->find("n")->text, "1");
  EXPECT_EQ(root.find("c")->text, "two\nlines\n");
  EXPECT_TRUE(root.find("c")->is_quoted);
  EXPECT_TRUE(root.find("d")->is_null());
}

TEST(YamlTree, ScalarsHaveTheTypeThatPyYamlAndReadersExpect) {
  const auto json = [](const std::string& yaml) { return as_json(parse(yaml, "t.yaml")); };
  EXPECT_EQ(json("yes"), Json(true));
  EXPECT_EQ(json("'yes'"), Json("yes"));
  EXPECT_EQ(json("Off"), Json(false));
  EXPECT_EQ(json("+7"), Json(7));
  EXPECT_EQ(json("-7"), Json(-7));
  EXPECT_EQ(json("3e-5"), Json(3e-5));
  EXPECT_EQ(json("9223372036854775808"), Json(9223372036854775808.0));
  EXPECT_EQ(json("+-7"), Json("+-7"));
  EXPECT_EQ(json("0x10"), Json("0x10"));
  EXPECT_EQ(json("7 "), Json(7));
  EXPECT_EQ(json("nan"), Json("nan"));
  EXPECT_EQ(json("[]"), Json::array());
  EXPECT_EQ(json("{}"), Json::object());
  EXPECT_EQ(json(""), Json());
  expect_parts(input_error([&] { json("[.nan]"); }), {"t.yaml:1", ".nan", "finite"});
}

TEST(YamlTree, MalformedDocumentsNameTheLine) {
  expect_parts(error_of("a: 1\nb: [1, 2\n"), {"t.yaml:", "malformed YAML"});
  expect_parts(error_of("a: 1\n b: 2\n"), {"t.yaml:2", "malformed YAML"});
  expect_parts(error_of("a: *nobody\n"), {"t.yaml:1", "malformed YAML"});
  expect_parts(error_of("a: \"open"), {"t.yaml:", "malformed YAML"});
  expect_parts(error_of("a: 1\na: 2\n"), {"t.yaml:2", "'a'", "twice"});
  expect_parts(error_of("a: 1\n---\nb: 2\n"), {"t.yaml:2", "after the end"});
  expect_parts(error_of(",a: 1\n"), {"t.yaml:1"});
  expect_parts(error_of("[a, b]: 1\n"), {"t.yaml:1", "bad key"});
  expect_parts(error_of("~: 1\n"), {"t.yaml:1", "bad key", "got null"});
  expect_parts(error_of("a: !!python/object/apply:os.system [ls]\n"), {"t.yaml:1", "tags"});
  expect_parts(error_of("a: \"\xff\"\n"), {"t.yaml", "UTF-8"});
  expect_parts(error_of(std::string("a: b\0c", 6)), {"t.yaml", "UTF-8"});
  expect_parts(error_of(std::string(1000, 'k') + ": 1\n"), {"t.yaml:1", "at most 200 bytes"});
}

TEST(YamlTree, DepthAndSizeAreLimited) {
  EXPECT_NO_THROW(parse(repeated("[", 32) + repeated("]", 32), "t.yaml"));
  expect_parts(error_of(repeated("[", 33) + repeated("]", 33)), {"t.yaml:1", "32 levels"});
  for (const char* opening : {"[", "{a: ", "- ", "? ", "[{", "- - ", "{[", "\"", "|", "&a "}) {
    expect_parts(error_of(repeated(opening, 20'000)), {"t.yaml:"});
  }
  expect_parts(error_of(repeated("- 1\n", 20'001)), {"t.yaml:20000", "at most 20000"});
  expect_parts(error_of(repeated("- 1\n", 100'000)), {"t.yaml", "too large"});
}

TEST(YamlTree, AliasesCountAsWhatTheyStandFor) {
  const std::string names = "abcdefghijkl";
  std::string bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n";
  for (size_t i = 1; i < names.size(); ++i) {
    const std::string name(1, names[i]);
    const std::string alias = std::string("*").append(1, names[i - 1]);
    bomb.append(name).append(": &").append(name).append(" [").append(alias);
    bomb.append(repeated(", " + alias, 9)).append("]\n");
  }
  expect_parts(error_of(bomb), {"t.yaml:", "too many values"});
  expect_parts(error_of("&a [*a]"), {"t.yaml:1", "alias"});
  expect_parts(error_of("&a {b: *a}"), {"t.yaml:1", "alias"});
}

TEST(YamlTree, WritesWhatItReads) {
  const std::string text =
      "plain: a b\nquoted: \"true\"\nempty: ''\nnothing:\nlist: [1, 'two, three', {deep: [[]]}]\n"
      "block: |\n  x: #1\n\n  y\nmap: {}\n'~': tilde\n'1': one\ncolon: 'a: b'\nunicode: "
      "\"h\u00e9\"\n"
      "blend: A:0.5,B:0.5\n";
  const Node root = parse(text, "t.yaml");
  const Node again = parse(write(root), "t.yaml");
  EXPECT_EQ(as_json(again), as_json(root)) << write(root);
  EXPECT_TRUE(again.find("quoted")->is_quoted);
  EXPECT_TRUE(again.find("empty")->is_scalar());
  EXPECT_TRUE(again.find("nothing")->is_null());
  EXPECT_EQ(again.children.front().key, "plain");
}

TEST(YamlTree, LongValuesAreShortenedInErrors) {
  const Node root = parse("a: " + std::string(10'000, 'x'), "t.yaml");
  EXPECT_LT(describe(*root.find("a")).size(), 100u);
}

}  // namespace
}  // namespace dms::yaml
