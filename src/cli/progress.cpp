#include "cli/progress.h"

#include <cstdio>

#include <fmt/format.h>

#include "base/terminal_text.h"
#include "cli/output.h"
#include "cli/text_table.h"

namespace dms::cli {
namespace {

constexpr std::chrono::milliseconds kPause{100};

}  // namespace

ProgressLine::ProgressLine(std::string label)
    : label_(std::move(label)), enabled_(stderr_is_terminal()) {}

ProgressLine::~ProgressLine() { wipe(); }

void ProgressLine::show(const std::string& text) {
  if (!enabled_) return;
  // A line that wraps could not be wiped.
  const std::string line =
      first_columns(escape_controls(fmt::format("{} {}", label_, text)), stderr_columns() - 1);
  std::fputs(("\r\x1b[K" + line).c_str(), stderr);
  std::fflush(stderr);
  visible_ = true;
}

void ProgressLine::update(int64_t done, int64_t total) {
  const Clock::time_point now = Clock::now();
  if (!enabled_ || now - last_shown_ < kPause) return;
  last_shown_ = now;
  const double seconds = std::chrono::duration<double>(now - start_).count();
  const double rate = seconds > 0 ? static_cast<double>(done) / seconds : 0;
  show(fmt::format("{}/{} tokens ({:.0f} tok/s)", done, total, rate));
}

void ProgressLine::wipe() {
  if (!visible_) return;
  std::fputs("\r\x1b[K", stderr);
  std::fflush(stderr);
  visible_ = false;
}

Progress ProgressLine::callback() {
  return [this](int64_t done, int64_t total) { update(done, total); };
}

}  // namespace dms::cli
