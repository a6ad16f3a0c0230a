#pragma once
// A program of the user's as a filter: text goes in, text comes out.

#include <chrono>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace dms {

struct FilterLimits {
  std::chrono::milliseconds silence;  // the longest in which it neither reads nor writes
  int64_t output_bytes;               // the most that it may write
};

/// Runs `command`, whose first word is found in PATH, without a shell and with `input` on its
/// standard input, and returns what it writes to its standard output. `on_wait` is called several
/// times a second; what it throws ends the program and goes on. Throws InputError at `where` where
/// the program cannot be started, fails, or exceeds a limit; the last line that it wrote to its
/// standard error is told, all others are dropped. The process must ignore SIGPIPE, as dms does.
std::string run_filter(const std::string& where,
                       std::span<const std::string> command,
                       std::string_view input,
                       const FilterLimits& limits,
                       const std::function<void()>& on_wait);

}  // namespace dms
