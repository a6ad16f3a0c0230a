#pragma once
// How much of a form is expressions and grammars, whose states multiply.

#include <cstddef>

#include "base/json.h"

namespace dms::grammar {

/// Of all expressions and grammars in a schema or tag together.
size_t pattern_bytes(const OrderedJson& value);

}  // namespace dms::grammar
