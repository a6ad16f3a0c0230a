#pragma once
// How errors name a form.

#include <string>

#include "dms/structure.h"

namespace dms::grammar {

/// Structure::field, or the name of its kind: "json_schema".
std::string field_name(const Structure& structure);

}  // namespace dms::grammar
