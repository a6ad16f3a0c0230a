#pragma once
// What the text of a YAML value means, by the rules of PyYAML where Hugging Face files meet them
// (yes, on and True are booleans), and without its traps (3e-5 is a number).

#include <cstdint>
#include <optional>

#include "base/json.h"
#include "yaml/tree.h"

namespace dms::yaml {

/// Nothing where `node` is not a plain scalar of that type.
std::optional<bool> as_boolean(const Node& node);
std::optional<int64_t> as_integer(const Node& node);
/// A finite number.
std::optional<double> as_number(const Node& node);

/// Any tree as JSON. Throws InputError on numbers that JSON cannot hold (.nan, .inf).
Json as_json(const Node& node);

}  // namespace dms::yaml
