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

void check_format(OrderedJson& schema, const std::string& path, const SchemaRefusal& refusal) {
  const auto format = schema.find("format");
  if (format == schema.end()) return;
  const std::string name = format->is_string() ? format->get<std::string>() : "";
  if (!is_enforced_format(name)) refusal.refuse_unenforced(path + "/format");
  if (schema.contains("pattern")) {
    refusal.refuse_unenforced(path + "/format", "pattern stands beside it");
  } else if (const std::string_view exact = pattern_of_format(name); !exact.empty()) {
    schema["pattern"] = std::string(exact);
    schema.erase("format");
  } else if (has_length(schema)) {
    refusal.refuse_unenforced(path + "/minLength, maxLength", "format stands beside it");
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
