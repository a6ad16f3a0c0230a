#pragma once
// A schema as xgrammar is to read it, and a refusal of what it would leave aside: xgrammar looks at
// the keywords of one kind in each schema and not at those beside them, as the standard asks for.

#include <string>

#include "dms/structure.h"
#include "grammar/form_limits.h"

namespace dms::grammar {

/// The schema, with what it leaves open said. Throws InputError naming the path of what is wrong,
/// and, where Structure::refuses_unenforced, of a keyword that no answer would be held to.
std::string checked_schema(const Structure& structure, const FormLimits& limits);

/// A structural tag whose schemas are. Where "strict": false stands beside one, it may ask for what
/// the answer is not held to.
std::string checked_tag(const Structure& structure, const FormLimits& limits);

/// Whether no part of the form may ask for what the answer is not held to.
bool refuses_all_unenforced(const Structure& structure, const FormLimits& limits);

}  // namespace dms::grammar
