#pragma once
// Numbers as people read them, in the progress line and on the report page.

#include <cstdint>
#include <string>

namespace dms::report {

/// About `digits` significant ones: 0.0123, 1.5e-5, 12.3k, 4.56M; "nan" and "inf" as they are.
std::string short_number(double value, int digits = 3);

/// 45s, 12m05s, 1h02m, 3d04h. Negative and not finite: "?".
std::string short_duration(double seconds);

}  // namespace dms::report
