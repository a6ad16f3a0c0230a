#include "grammar/field_name.h"

namespace dms::grammar {

std::string field_name(const Structure& structure) {
  if (!structure.field.empty()) return structure.field;
  switch (structure.kind) {
    case Structure::Kind::none:
      return "structure";
    case Structure::Kind::json_object:
      return "json_object";
    case Structure::Kind::json_schema:
      return "json_schema";
    case Structure::Kind::regex:
      return "regex";
    case Structure::Kind::choice:
      return "choice";
    case Structure::Kind::grammar:
      return "grammar";
    case Structure::Kind::structural_tag:
      return "structural_tag";
  }
  return {};
}

}  // namespace dms::grammar
