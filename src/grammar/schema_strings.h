#pragma once
// What a schema says of texts: their patterns, formats and lengths.

#include <optional>
#include <string>

#include "base/json.h"
#include "grammar/form_limits.h"
#include "grammar/schema_refusal.h"

namespace dms::grammar {

/// `pattern` as xgrammar is to read it. Where it cannot be held to it is refused, or, where that
/// may be left aside, nothing.
std::optional<std::string> held_pattern(const std::string& pattern,
                                        const std::string& path,
                                        const FormLimits& limits,
                                        const SchemaRefusal& refusal);

/// Of a list of texts that JSON writes as they are, one that matches these alone; else nothing.
std::optional<std::string> pattern_of_texts(const OrderedJson& texts);

/// The keywords of texts in `schema`, whose counts are checked: as xgrammar is to read them, or
/// refused.
void check_text_keywords(OrderedJson& schema,
                         const std::string& path,
                         const FormLimits& limits,
                         const SchemaRefusal& refusal);

}  // namespace dms::grammar
