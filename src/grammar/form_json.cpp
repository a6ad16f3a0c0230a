#include "grammar/form_json.h"

#include "dms/error.h"
#include "grammar/field_name.h"

namespace dms::grammar {

OrderedJson parse_form(const Structure& structure, const FormLimits& limits) {
  const bool is_tag = structure.kind == Structure::Kind::structural_tag;
  try {
    return parse_ordered_json(structure.text,
                              "JSON",
                              {.depth = static_cast<int>(is_tag ? limits.tag_depth : limits.depth),
                               .values = is_tag ? limits.tag_values : limits.values});
  } catch (const InputError& error) {
    throw InputError({.field = field_name(structure), .what = error.what()});
  }
}

}  // namespace dms::grammar
