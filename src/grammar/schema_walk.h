#pragma once
// The way through a schema: each of its parts is looked at by the rules (schema_rules.h).

#include <string>

#include "base/json.h"
#include "grammar/form_limits.h"

namespace dms::grammar {

/// Says what `schema`, which errors call `where`, leaves open. Throws InputError naming the path of
/// what is wrong, and of a keyword that no answer would be held to where `refuses_unenforced`; else
/// such a keyword is left aside.
void check_schema(OrderedJson& schema,
                  bool refuses_unenforced,
                  const FormLimits& limits,
                  const std::string& where);

}  // namespace dms::grammar
