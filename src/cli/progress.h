#pragma once
// One line on standard error that says how far long work has come. Only on a terminal: silent in a
// pipe. The line is wiped when the object goes, also when an error passes by.

#include <chrono>
#include <string>

#include "dms/llm.h"

namespace dms::cli {

class ProgressLine {
 public:
  /// `label` says what is being done: "prefill".
  explicit ProgressLine(std::string label);
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  /// Shows `done` of `total` tokens, at most ten times a second.
  void update(int64_t done, int64_t total);
  /// Shows the label and `text` at once.
  void show(const std::string& text);
  void wipe();
  /// update() as a callback; this object must outlive it.
  Progress callback();

 private:
  using Clock = std::chrono::steady_clock;

  std::string label_;
  bool enabled_;
  bool visible_ = false;
  Clock::time_point start_ = Clock::now();
  Clock::time_point last_shown_{};
};

}  // namespace dms::cli
