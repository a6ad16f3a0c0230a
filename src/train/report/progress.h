#pragma once
// How far training has come: on a terminal one line that is rewritten at every step, in a pipe or a
// file one line every logging_steps.

#include <cstdint>
#include <cstdio>
#include <string>

#include "train/report/metrics.h"

namespace dms::train {

/// "step 34/544  loss 0.0812  KL 0.0301  LM 2.31  CR 1.93/2.00  12.3k tok/s  1h02m left"
std::string progress_text(const StepMetrics& metrics, int64_t max_steps, double left_s);

/// One thread.
class TrainProgress {
 public:
  /// Writes to `out`, which must outlive this. `logging_steps` 0: nothing in a pipe.
  TrainProgress(int64_t max_steps, int64_t logging_steps, std::FILE* out = stderr);
  /// Ends the terminal's line, so that what follows (an error too) stands below it.
  ~TrainProgress();
  TrainProgress(const TrainProgress&) = delete;
  TrainProgress& operator=(const TrainProgress&) = delete;

  void show(const StepMetrics& metrics);
  /// A line of its own ("saved outputs/checkpoint-34"), above the terminal's status line.
  void note(const std::string& text);

 private:
  double seconds_left(const StepMetrics& metrics);

  int64_t max_steps_;
  int64_t logging_steps_;
  std::FILE* out_;
  bool is_terminal_;
  std::string status_;    // what the terminal's line shows
  double step_s_ = -1.0;  // moving average; negative: no step yet
};

}  // namespace dms::train
