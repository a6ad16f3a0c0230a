#pragma once
// A request of plain values.

#include <chrono>
#include <cmath>
#include <cstdint>
#include <optional>
#include <span>

#include "dms/error.h"
#include "dms/request.h"

namespace dms::python {

/// Throws InputError where the timeout is no time.
inline Request make_request(std::span<const int32_t> prompt,
                            const SamplingParams& sampling,
                            int64_t priority,
                            std::optional<double> timeout_s) {
  constexpr double kLongestS = 1e8;  // some years: more would not fit into the clock
  Request request{
      .prompt = {prompt.begin(), prompt.end()}, .sampling = sampling, .priority = priority};
  if (timeout_s && !(*timeout_s >= 0)) {
    throw InputError({.field = "timeout",
                      .what = "value out of range",
                      .got = std::to_string(*timeout_s),
                      .expected = "seconds, at least 0"});
  }
  if (timeout_s && *timeout_s < kLongestS) {
    request.deadline = std::chrono::steady_clock::now() +
                       std::chrono::duration_cast<std::chrono::steady_clock::duration>(
                           std::chrono::duration<double>(*timeout_s));
  }
  return request;
}

}  // namespace dms::python
