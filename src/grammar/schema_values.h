#pragma once
// Schemas that list their values, by "const" and "enum".

#include <string>
#include <string_view>

#include "base/json.h"
#include "grammar/schema_refusal.h"

namespace dms::grammar {

/// Checks that an answer can be each value of `schema[decider]`, and of the type beside it, and
/// takes out those that the lengths and bounds beside it do not allow. Refuses other keywords.
void check_listed_values(OrderedJson& schema,
                         const std::string& decider,
                         const std::string& path,
                         const SchemaRefusal& refusal);

}  // namespace dms::grammar
