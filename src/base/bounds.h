#pragma once
// How an error says which numbers would have been right.

#include <cstdint>
#include <string>

namespace dms {

/// "an integer, 1 to 100"; a bound at the end of the type's range is left out: "an integer, 1 or
/// more".
std::string integer_in(int64_t min, int64_t max);

/// As integer_in; the smallest positive double as `min` is "more than 0".
std::string number_in(double min, double max);

/// `value` with as few digits as tell it from its neighbours.
std::string number_text(double value);

}  // namespace dms
