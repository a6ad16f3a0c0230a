#include "eval/step.h"

#include <algorithm>

#include <fmt/format.h>

#include "report/number_format.h"

namespace dms::eval {

std::string step_text(const Step& step, double seconds) {
  const double share =
      step.total > 0 ? static_cast<double>(step.done) / static_cast<double>(step.total) : 0;
  std::string text = fmt::format("{:.0f}%", 100 * share);
  if (share > 0) {
    text +=
        fmt::format(", {} left", report::short_duration(std::max(seconds / share - seconds, 0.0)));
  }
  return fmt::format("{}: {}", text, step.what);
}

}  // namespace dms::eval
