#pragma once
// The form that an answer is held to; names that llama.cpp's users know.

#include <string>
#include <vector>

#include "dms/structure.h"

namespace CLI {
class App;
}

namespace dms::cli {

struct StructureOptions {
  std::string schema;
  std::string schema_file;
  std::string grammar;
  std::string grammar_file;
  std::string regex;
  std::vector<std::string> choices;

  /// Reads the file that is named. Throws InputError where several options ask for a form.
  Structure resolve() const;
};

/// --json-schema, --grammar, --regex, --choice
void add_structure_options(CLI::App& app, StructureOptions& options);

}  // namespace dms::cli
