#include "serve/structure_fields.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dms::serve {
namespace {

using Kind = Structure::Kind;

/// vLLM's and llama.cpp's fields by one name each.
struct FormField {
  std::string_view name;
  Kind kind;
};

constexpr std::array kTopFields{
    FormField{"guided_json", Kind::json_schema},
    FormField{"guided_regex", Kind::regex},
    FormField{"guided_choice", Kind::choice},
    FormField{"guided_grammar", Kind::grammar},
    FormField{"json_schema", Kind::json_schema},
    FormField{"grammar", Kind::grammar},
};

constexpr std::array kStructuredOutputs{
    FormField{"json", Kind::json_schema},
    FormField{"regex", Kind::regex},
    FormField{"choice", Kind::choice},
    FormField{"grammar", Kind::grammar},
    FormField{"json_object", Kind::json_object},
    FormField{"structural_tag", Kind::structural_tag},
};

constexpr std::string_view kNoWhitespace = "disable_any_whitespace";

/// A schema or tag is JSON, as itself or as a text of it; all else is a text.
std::string text_of(const Fields& fields,
                    std::string_view key,
                    const OrderedJson& value,
                    Kind kind) {
  const bool is_json = kind == Kind::json_schema || kind == Kind::structural_tag;
  if (kind == Kind::choice) {
    if (!value.is_array()) fields.refuse(key, value, "an array of texts");
    return json_text(value);
  }
  if (value.is_string()) return value.get<std::string>();
  if (!is_json) fields.refuse(key, value, "a string");
  if (!value.is_object() && !value.is_boolean()) fields.refuse(key, value, "an object");
  return json_text(value);
}

std::optional<Structure> read_form(const Fields& fields, const FormField& form) {
  const OrderedJson* value = fields.find(form.name);
  if (value == nullptr || (value->is_string() && value->get_ref<const std::string&>().empty())) {
    return std::nullopt;  // llama.cpp's clients send an empty grammar for none
  }
  Structure out{.kind = form.kind, .field = fields.name_of(form.name)};
  if (form.kind == Kind::json_object) {
    if (!fields.boolean(form.name).value_or(false)) return std::nullopt;
    return out;
  }
  out.text = text_of(fields, form.name, *value, form.kind);
  return out;
}

/// What each of the fields asks for.
template <class Forms>
void read_forms(const Fields& fields, const Forms& forms, std::vector<Structure>& out) {
  for (const FormField& form : forms) {
    if (auto structure = read_form(fields, form)) out.push_back(std::move(*structure));
  }
}

Structure read_json_schema(const Fields& format) {
  const OrderedJson* given = format.object("json_schema");
  if (given == nullptr) format.refuse("json_schema", OrderedJson(), "an object with a schema");
  const Fields fields(*given, format.name_of("json_schema"));
  auto out = read_form(fields, {.name = "schema", .kind = Kind::json_schema});
  if (!out) fields.refuse("schema", OrderedJson(), "a schema");
  out->refuses_unenforced = fields.boolean("strict").value_or(true);
  return *out;
}

void read_response_format(const Fields& body, std::vector<Structure>& out) {
  const OrderedJson* given = body.object("response_format");
  if (given == nullptr) return;
  const Fields fields(*given, "response_format");
  const std::string type = fields.text("type").value_or("text");
  if (type == "text") return;
  if (type == "json_schema") {
    out.push_back(read_json_schema(fields));
  } else if (type == "json_object") {
    // llama.cpp's may have a schema.
    auto schema = read_form(fields, {.name = "schema", .kind = Kind::json_schema});
    out.push_back(schema ? *schema
                         : Structure{.kind = Kind::json_object, .field = "response_format"});
  } else if (type == "structural_tag") {
    out.push_back(
        {.kind = Kind::structural_tag, .text = json_text(*given), .field = "response_format"});
  } else {
    fields.refuse("type", type, "text, json_object, json_schema or structural_tag");
  }
}

void read_structured_outputs(const Fields& body, std::vector<Structure>& out) {
  const OrderedJson* given = body.object("structured_outputs");
  if (given == nullptr) return;
  const Fields fields(*given, "structured_outputs");
  for (const auto& [key, value] : given->items()) {
    const bool is_form =
        std::ranges::find(kStructuredOutputs, key, &FormField::name) != kStructuredOutputs.end();
    if (value.is_null() || is_form || key == kNoWhitespace) continue;
    fields.refuse(key, value, "json, regex, choice, grammar, json_object or structural_tag");
  }
  const size_t before = out.size();
  read_forms(fields, kStructuredOutputs, out);
  if (out.size() == before) {
    body.refuse("structured_outputs", *given, "one of json, regex, choice, grammar and their like");
  }
  out.back().any_whitespace = !fields.boolean(kNoWhitespace).value_or(false);
}

}  // namespace

Structure read_structure(const Fields& body) {
  std::vector<Structure> asked;
  read_response_format(body, asked);
  read_structured_outputs(body, asked);
  read_forms(body, kTopFields, asked);
  if (asked.empty()) return {};
  if (asked.size() > 1) {
    throw ApiError::from(InputError({.field = asked[1].field,
                                     .what = "asks for another form than " + asked[0].field,
                                     .expected = "one of them"}));
  }
  return asked.front();
}

}  // namespace dms::serve
