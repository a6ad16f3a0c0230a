#include "cli/structure_options.h"

#include "base/json.h"
#include "cli/input.h"
#include "cli/options.h"
#include "dms/error.h"

namespace dms::cli {
namespace {

using Kind = Structure::Kind;

}  // namespace

Structure StructureOptions::resolve() const {
  std::vector<Structure> asked;
  const auto ask = [&](Kind kind, const char* option, const std::string& text) {
    if (!text.empty()) asked.push_back({.kind = kind, .text = text, .field = option});
  };
  const auto ask_file = [&](Kind kind, const char* option, const std::string& file) {
    if (!file.empty()) asked.push_back({.kind = kind, .text = read_text(file), .field = option});
  };
  ask(Kind::json_schema, "--json-schema", schema);
  ask_file(Kind::json_schema, "--json-schema-file", schema_file);
  ask(Kind::grammar, "--grammar", grammar);
  ask_file(Kind::grammar, "--grammar-file", grammar_file);
  ask(Kind::regex, "--regex", regex);
  if (!choices.empty()) ask(Kind::choice, "--choice", Json(choices).dump());
  if (asked.size() > 1) {
    throw InputError({.where = asked[1].field,
                      .what = "asks for another form than " + asked[0].field,
                      .expected = "one of them"});
  }
  return asked.empty() ? Structure() : asked.front();
}

void add_structure_options(CLI::App& app, StructureOptions& options) {
  const OptionGroup group(app, "Form of the answer");
  const auto add_text =
      [&](const char* name, const char* what, std::string& target, const char* help) {
        add_value(app, name, what, help, [&target](const std::string& text) { target = text; });
      };
  add_text(
      "--json-schema", "JSON", options.schema, "JSON that this schema describes; {}: any JSON");
  add_input_file(
      app, "--json-schema-file", options.schema_file, "The schema from a file, '-' for stdin");
  add_text("--grammar", "GBNF", options.grammar, "What this grammar's rule root describes");
  add_input_file(
      app, "--grammar-file", options.grammar_file, "The grammar from a file, '-' for stdin");
  add_text("--regex", "TEXT", options.regex, "What matches this regular expression as a whole");
  add_values(app,
             "--choice",
             "TEXT",
             "One of these texts; repeated",
             [&options](const std::vector<std::string>& texts) { options.choices = texts; });
}

}  // namespace dms::cli
