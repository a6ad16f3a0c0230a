#include "grammar/schema_strings.h"

#include <string_view>

#include "dms/error.h"
#include "grammar/pattern.h"
#include "grammar/schema_rules.h"

namespace dms::grammar {
namespace {

std::optional<Pattern> readable_pattern(const std::string& pattern,
                                        const std::string& path,
                                        const FormLimits& limits,
                                        const SchemaRefusal& refusal) {
  try {
    return read_pattern(pattern, limits.most_count);
  } catch (const InputError& error) {
    if (refusal.refuses_unenforced()) refusal.refuse(path, error.parts().what, error.parts().hint);
    return std::nullopt;
  }
}

bool has_length(const OrderedJson& schema) {
  return schema.contains("minLength") || schema.contains("maxLength");
}

void put_pattern(OrderedJson& schema, std::string_view pattern) {
  schema["pattern"] = std::string(pattern);
  schema.erase("format");
}

/// Of a format of xgrammar's, whose texts may be of any length.
void check_format_length(OrderedJson& schema,
                         const std::string& format,
                         const std::string& path,
                         const SchemaRefusal& refusal) {
  if (!has_length(schema)) return;
  constexpr int64_t kLeastUri = 2;  // as "a:"
  const bool is_any_uri = format == "uri" && !schema.contains("maxLength");
  if (is_any_uri && schema["minLength"] <= kLeastUri) {
    schema.erase("minLength");
  } else if (const std::string_view pattern = short_pattern_of_format(format); !pattern.empty()) {
    put_pattern(schema, pattern);
  } else {
    refusal.refuse_unenforced(path + "/minLength, maxLength", "format stands beside it");
  }
}

void check_format(OrderedJson& schema, const std::string& path, const SchemaRefusal& refusal) {
  const auto found = schema.find("format");
  if (found == schema.end()) return;
  const std::string format = found->is_string() ? found->get<std::string>() : "";
  if (is_remark_format(format)) {
    schema.erase("format");
    return;
  }
  if (!is_enforced_format(format)) refusal.refuse_unenforced(path + "/format");
  if (schema.contains("pattern")) {
    refusal.refuse_unenforced(path + "/format", "pattern stands beside it");
  } else if (const std::string_view exact = pattern_of_format(format); !exact.empty()) {
    put_pattern(schema, exact);
  } else {
    check_format_length(schema, format, path, refusal);
  }
}

/// Lengths that all texts of the pattern have ask for nothing.
void check_lengths(OrderedJson& schema,
                   const LengthBounds& lengths,
                   const std::string& path,
                   const SchemaRefusal& refusal) {
  if (!has_length(schema)) return;
  const LengthBounds asked{
      .least = schema.value("minLength", int64_t{0}),
      .most = schema.value("maxLength", LengthBounds::kNoEnd),
  };
  if (asked.least > lengths.least || asked.most < lengths.most) {
    return refusal.refuse_unenforced(path + "/minLength, maxLength", "pattern stands beside it");
  }
  schema.erase("minLength");
  schema.erase("maxLength");
}

}  // namespace

std::optional<std::string> held_pattern(const std::string& pattern,
                                        const std::string& path,
                                        const FormLimits& limits,
                                        const SchemaRefusal& refusal) {
  const std::optional<Pattern> read = readable_pattern(pattern, path, limits, refusal);
  return read ? std::optional(read->text) : std::nullopt;
}

std::optional<std::string> pattern_of_texts(const OrderedJson& texts) {
  if (!texts.is_array()) return std::nullopt;
  std::string pattern;
  for (const OrderedJson& text : texts) {
    if (!text.is_string()) return std::nullopt;
    const std::optional<std::string> literal = literal_pattern(text.get_ref<const std::string&>());
    if (!literal) return std::nullopt;
    pattern += (&text == &texts.front() ? "" : "|") + *literal;
  }
  return pattern;
}

void check_text_keywords(OrderedJson& schema,
                         const std::string& path,
                         const FormLimits& limits,
                         const SchemaRefusal& refusal) {
  check_format(schema, path, refusal);
  const auto pattern = schema.find("pattern");
  if (pattern == schema.end()) return;
  const std::string place = path + "/pattern";
  if (!pattern->is_string()) refusal.refuse(place, "is no text");
  const std::optional<Pattern> read =
      readable_pattern(pattern->get<std::string>(), place, limits, refusal);
  if (!read) {
    schema.erase("pattern");
    return;
  }
  *pattern = read->text;
  check_lengths(schema, read->lengths, path, refusal);
}

}  // namespace dms::grammar
