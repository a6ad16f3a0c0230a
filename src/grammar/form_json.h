#pragma once
// A form that is JSON.

#include "base/json.h"
#include "dms/structure.h"
#include "grammar/form_limits.h"

namespace dms::grammar {

/// Structure::text. Throws InputError naming the form's field on malformed JSON and beyond the
/// limits.
OrderedJson parse_form(const Structure& structure, const FormLimits& limits);

}  // namespace dms::grammar
