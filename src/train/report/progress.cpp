#include "train/report/progress.h"

#include <cmath>

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "report/number_format.h"

namespace dms::train {
namespace {

using report::short_duration;
using report::short_number;

constexpr double kNewStepWeight = 0.1;  // of the moving average of seconds a step

/// A status line that wraps could not be rewritten.
std::string cut_to_width(const std::string& text, std::FILE* out) {
  winsize size{};
  if (::ioctl(::fileno(out), TIOCGWINSZ, &size) != 0 || size.ws_col < 2) return text;
  return text.substr(0, static_cast<size_t>(size.ws_col) - 1U);
}

}  // namespace

std::string progress_text(const StepMetrics& metrics, int64_t max_steps, double left_s) {
  std::string text =
      fmt::format("step {}/{}  loss {}", metrics.step, max_steps, short_number(metrics.loss, 4));
  if (metrics.kl) text += "  KL " + short_number(*metrics.kl, 4);
  text += "  LM " + short_number(metrics.lm_loss, 4);
  if (metrics.cr && metrics.target_cr) {
    text += fmt::format("  CR {:.2f}/{:.2f}", *metrics.cr, *metrics.target_cr);
  }
  return text +
         fmt::format("  {} tok/s  {} left", short_number(metrics.tok_s), short_duration(left_s));
}

TrainProgress::TrainProgress(int64_t max_steps, int64_t logging_steps, std::FILE* out)
    : max_steps_(max_steps),
      logging_steps_(logging_steps),
      out_(out),
      is_terminal_(::isatty(::fileno(out)) == 1) {}

TrainProgress::~TrainProgress() {
  if (status_.empty()) return;
  std::fputc('\n', out_);
  std::fflush(out_);
}

double TrainProgress::seconds_left(const StepMetrics& metrics) {
  const double step_s = static_cast<double>(metrics.tokens) / metrics.tok_s;
  if (std::isfinite(step_s)) {
    step_s_ = step_s_ < 0 ? step_s : step_s_ + kNewStepWeight * (step_s - step_s_);
  }
  return step_s_ * static_cast<double>(max_steps_ - metrics.step);
}

void TrainProgress::show(const StepMetrics& metrics) {
  const std::string text = progress_text(metrics, max_steps_, seconds_left(metrics));
  if (is_terminal_) {
    status_ = cut_to_width(text, out_);
    std::fputs(fmt::format("\r\x1b[K{}", status_).c_str(), out_);
  } else {
    const bool is_due =
        logging_steps_ > 0 && (metrics.step % logging_steps_ == 0 || metrics.step == max_steps_);
    if (!is_due) return;
    std::fputs((text + "\n").c_str(), out_);
  }
  std::fflush(out_);
}

void TrainProgress::note(const std::string& text) {
  const bool has_status = !status_.empty();
  std::fputs(fmt::format("{}{}\n{}", has_status ? "\r\x1b[K" : "", text, status_).c_str(), out_);
  std::fflush(out_);
}

}  // namespace dms::train
