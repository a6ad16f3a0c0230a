#include "grammar/schema_rules.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace dms::grammar {
namespace {

struct Keyword {
  std::string_view name;
  std::string_view type;  // empty: of any value
  bool is_enforced = true;
};

constexpr std::array kKeywords{
    Keyword{"$ref", ""},
    Keyword{"const", ""},
    Keyword{"enum", ""},
    Keyword{"anyOf", ""},
    Keyword{"oneOf", ""},
    Keyword{"allOf", ""},
    Keyword{"type", ""},
    Keyword{"minLength", "string"},
    Keyword{"maxLength", "string"},
    Keyword{"pattern", "string"},
    Keyword{"format", "string"},
    Keyword{"minimum", "number"},
    Keyword{"maximum", "number"},
    Keyword{"exclusiveMinimum", "number"},
    Keyword{"exclusiveMaximum", "number"},
    Keyword{"multipleOf", "number"},
    Keyword{"items", "array"},
    Keyword{"prefixItems", "array"},
    Keyword{"minItems", "array"},
    Keyword{"maxItems", "array"},
    Keyword{"unevaluatedItems", "array"},
    Keyword{"uniqueItems", "array", false},
    Keyword{"contains", "array", false},
    Keyword{"minContains", "array", false},
    Keyword{"maxContains", "array", false},
    Keyword{"additionalItems", "array", false},
    Keyword{"properties", "object"},
    Keyword{"required", "object"},
    Keyword{"additionalProperties", "object"},
    Keyword{"unevaluatedProperties", "object"},
    Keyword{"patternProperties", "object"},
    Keyword{"propertyNames", "object"},
    Keyword{"minProperties", "object"},
    Keyword{"maxProperties", "object"},
    Keyword{"dependentRequired", "object", false},
    Keyword{"dependentSchemas", "object", false},
    Keyword{"dependencies", "object", false},
    Keyword{"not", "", false},
    Keyword{"if", "", false},
    Keyword{"then", "", false},
    Keyword{"else", "", false},
    Keyword{"$dynamicRef", "", false},
    Keyword{"$recursiveRef", "", false},
};

constexpr std::array<std::string_view, 6> kDeciding{
    "$ref", "const", "enum", "anyOf", "oneOf", "allOf"};

constexpr std::array<std::string_view, 15> kFormats{"email",
                                                    "base64",
                                                    "date",
                                                    "time",
                                                    "date-time",
                                                    "duration",
                                                    "ipv4",
                                                    "ipv6",
                                                    "hostname",
                                                    "uuid",
                                                    "uri",
                                                    "uri-reference",
                                                    "uri-template",
                                                    "json-pointer",
                                                    "relative-json-pointer"};

// Of programs, and nothing that a text could fail to be.
constexpr std::array<std::string_view, 5> kRemarks{
    "binary", "directory-path", "file-path", "password", "path"};

struct FormatPattern {
  std::string_view format;
  std::string_view pattern;
};

// Narrower than they could be: years of four digits, no 29th of February, no leap second, no IPv4
// within IPv6.
constexpr std::array kPatterns{
    FormatPattern{"date",
                  "[1-9][0-9]{3}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|"
                  "(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))"},
    FormatPattern{"time",
                  "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,9})?"
                  "(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"},
    FormatPattern{"date-time",
                  "[1-9][0-9]{3}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|"
                  "(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))T"
                  "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,9})?"
                  "(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"},
    FormatPattern{"ipv4",
                  "((25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])[.]){3}"
                  "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"},
    FormatPattern{"ipv6",
                  "([0-9a-f]{1,4}:){7}[0-9a-f]{1,4}|([0-9a-f]{1,4}:){1,6}(:[0-9a-f]{1,4})|"
                  "([0-9a-f]{1,4}:){1,7}:|::([0-9a-f]{1,4}:){0,6}[0-9a-f]{1,4}|::"},
    FormatPattern{"base64", "([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"},
    FormatPattern{"hostname",
                  "[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?([.][a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?){0,6}"},
};

// Of the web, and at most 1555 characters long: pydantic's HttpUrl may have 2083.
constexpr std::string_view kShortUri =
    "https?://[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?([.][a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?){0,6}"
    "(:[1-9][0-9]{0,3})?(/[A-Za-z0-9._~-]{0,100}){0,10}"
    "([?][A-Za-z0-9._~=&-]{0,200})?(#[A-Za-z0-9._~-]{0,100})?";

const Keyword* find(std::string_view name) {
  const auto found = std::ranges::find(kKeywords, name, &Keyword::name);
  return found == kKeywords.end() ? nullptr : &*found;
}

}  // namespace

bool is_constraint(std::string_view keyword) { return find(keyword) != nullptr; }

std::string_view type_of_keyword(std::string_view keyword) {
  const Keyword* known = find(keyword);
  return known == nullptr ? std::string_view() : known->type;
}

bool is_of_type(const OrderedJson& value, const std::string& type) {
  if (type == "string") return value.is_string();
  if (type == "boolean") return value.is_boolean();
  if (type == "null") return value.is_null();
  if (type == "array") return value.is_array();
  if (type == "object") return value.is_object();
  if (type == "number") return value.is_number();
  return type == "integer" && value.is_number_integer();
}

bool is_beyond_64_bits(const OrderedJson& value) {
  if (value.is_number_unsigned()) {
    return value.get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  }
  constexpr double kMost = 9.2e18;  // of those that are written as fractions: 64 bits have more
  return value.is_number_float() && std::abs(value.get<double>()) > kMost;
}

std::span<const std::string_view> deciding_keywords() { return kDeciding; }

bool is_enforced(std::string_view keyword) {
  const Keyword* known = find(keyword);
  return known != nullptr && known->is_enforced;
}

bool is_enforced_format(std::string_view format) {
  return std::ranges::find(kFormats, format) != kFormats.end();
}

bool is_remark_format(std::string_view format) {
  return std::ranges::find(kRemarks, format) != kRemarks.end();
}

std::string_view short_pattern_of_format(std::string_view format) {
  return format == "uri" ? kShortUri : std::string_view();
}

std::string_view pattern_of_format(std::string_view format) {
  const auto found = std::ranges::find(kPatterns, format, &FormatPattern::format);
  return found == kPatterns.end() ? std::string_view() : found->pattern;
}

}  // namespace dms::grammar
