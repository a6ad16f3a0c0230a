#pragma once
// How far an evaluation is.

#include <cstdint>
#include <functional>
#include <string>

namespace dms::eval {

struct Step {
  std::string what;  // "dms, window 3 of 8"
  int64_t done = 0;  // tokens
  int64_t total = 0;
};

/// Told now and then; what it throws ends the evaluation.
using OnStep = std::function<void(const Step&)>;

/// "25%, 3m00s left: dms, window 3 of 8", after so many seconds.
std::string step_text(const Step& step, double seconds);

}  // namespace dms::eval
