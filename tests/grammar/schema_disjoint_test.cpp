// Alternatives that have no value in common, and those of which that cannot be told.

#include "grammar/schema_disjoint.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/json.h"

namespace dms::grammar {
namespace {

bool are_disjoint(const std::string& schema) {
  const OrderedJson root = parse_ordered_json(schema, "schema");
  return Disjointness(root).are_disjoint(root["oneOf"]);
}

std::string kind(const std::string& of_kind) {
  return R"({"type": "object", "properties": {"kind": )" + of_kind + R"(}, "required": ["kind"]})";
}

TEST(Disjointness, IsSeenByTypesValuesAndRequiredProperties) {
  const std::vector<std::string> cases{
      R"({"oneOf": [{"type": "null"}, {"$ref": "#/$defs/A"}], "$defs": {"A": {"type": "object"}}})",
      R"({"oneOf": [{"type": ["null", "string"]}, {"properties": {"a": true}}]})",
      R"({"oneOf": [{"const": 1}, {"enum": [2, "1"]}, {"type": "array"}]})",
      R"({"oneOf": [{"enum": [2.5]}, {"type": "integer"}]})",
      R"({"oneOf": [)" + kind(R"({"const": "cat"})") + ", " + kind(R"({"enum": ["dog", "fox"]})") +
          "]}",
      R"({"oneOf": [)" + kind(R"({"type": "string"})") + ", " + kind(R"({"type": "integer"})") +
          "]}",
      R"({"oneOf": [)" + kind(kind(R"({"const": 1})")) + ", " + kind(kind(R"({"const": 2})")) +
          "]}",
      // A union of unions, whose discriminators are defined apart.
      R"({"oneOf": [{"oneOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/B"}]}, {"$ref": "#/$defs/C"}],
          "$defs": {"K": {"const": "a"}, "A": )" +
          kind(R"({"$ref": "#/$defs/K"})") + R"(, "B": )" + kind(R"({"const": "b"})") +
          R"(, "C": {"allOf": [)" + kind(R"({"const": "c"})") + "]}}}",
  };
  for (const std::string& schema : cases) EXPECT_TRUE(are_disjoint(schema)) << schema;
}

TEST(Disjointness, IsNotTakenForGranted) {
  const std::string optional = R"({"type": "object", "properties": {"kind": {"const": "dog"}}})";
  const std::vector<std::string> cases{
      R"({"oneOf": [true, {"type": "null"}]})",
      R"({"oneOf": [{}, {"type": "null"}]})",
      R"({"oneOf": [{"type": "integer"}, {"type": "number"}]})",
      R"({"oneOf": [{"const": 2.0}, {"type": "integer"}]})",
      R"({"oneOf": [{"const": 1}, {"enum": [0, 1]}]})",
      R"({"oneOf": [{"type": "string"}, {"enum": ["a"]}]})",
      R"({"oneOf": [{"type": ["null", "string"]}, {"type": ["string", "array"]}]})",
      R"({"oneOf": [)" + kind(R"({"const": "cat"})") + ", " + optional + "]}",
      R"({"oneOf": [)" + kind(R"({"const": "cat"})") + ", " + kind(R"({"type": "string"})") + "]}",
      R"({"oneOf": [{"type": "null"}, {"$ref": "#/$defs/A"}]})",
      R"({"oneOf": [{"type": "null"}, {"$ref": "http://example.com"}]})",
      R"({"oneOf": [{"type": "null"}, {"allOf": [{"type": "string"}, {"type": "null"}]}]})",
  };
  for (const std::string& schema : cases) EXPECT_FALSE(are_disjoint(schema)) << schema;
}

TEST(Disjointness, CirclesAndMuchWorkHaveAnEnd) {
  EXPECT_FALSE(are_disjoint(R"({"oneOf": [{"type": "null"}, {"$ref": "#/oneOf/1"}]})"));
  EXPECT_FALSE(are_disjoint(R"({"oneOf": [{"anyOf": [{"$ref": "#/oneOf/0"}, {"$ref": "#/oneOf/0"}]},
                                          {"type": "null"}]})"));
  // Each requires itself, and none has a last one.
  const std::string node = kind(R"({"$ref": "#/$defs/A"})");
  EXPECT_FALSE(are_disjoint(R"({"oneOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/B"}],
                                "$defs": {"A": )" +
                            node + R"(, "B": )" + node + "}}"));
  OrderedJson many = OrderedJson::array();
  for (int i = 0; i < 4000; ++i) many.push_back({{"const", i}});
  const OrderedJson root{{"oneOf", many}};
  EXPECT_FALSE(Disjointness(root).are_disjoint(root["oneOf"])) << "more pairs than are looked at";
}

}  // namespace
}  // namespace dms::grammar
