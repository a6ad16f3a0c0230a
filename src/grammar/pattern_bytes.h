#pragma once
// How much of a form is expressions and grammars, whose states multiply.

#include <cstddef>

#include "base/json.h"

namespace dms::grammar {

/// Of all expressions and grammars in a schema or tag together. A part that a tag has more than
/// once is compiled, and counted, once.
size_t pattern_bytes(const OrderedJson& value);

}  // namespace dms::grammar
