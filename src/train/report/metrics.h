#pragma once
// One line a step: metrics.jsonl, and what the report page and the progress line are made from.

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace dms::train {

/// What one optimiser step showed, reduced over ranks and accumulation. Written as one JSON object
/// with these names.
struct StepMetrics {
  int64_t step = 0;  // 1 after the first optimiser step
  double loss = 0.0;
  std::optional<double> kl{};  // objective dms
  double lm_loss = 0.0;
  std::optional<double> target_fraction{};
  std::optional<double> fraction_closed{};
  std::optional<double> cr{};  // 1 / (1 - fraction_closed)
  std::optional<double> target_cr{};
  double lr = 0.0;
  double grad_norm = 0.0;
  double tok_s = 0.0;
  int64_t tokens = 0;  // input tokens of this step, all ranks
};

/// Share of tokens kept, [layers][kv_heads], of the latest steps.
using Retention = std::vector<std::vector<double>>;

/// One JSON object without a newline. What is not set is left out; what is not finite is null.
std::string metrics_line(const StepMetrics& metrics);

/// The steps of a metrics file, up to the first line that is no such object (a killed process may
/// leave half a line at the end); none where the file is missing.
std::vector<StepMetrics> read_metrics(const std::filesystem::path& file);

/// metrics.jsonl while training: every step is in the file before the next one begins. One thread.
class MetricsLog {
 public:
  /// Keeps the file's lines up to and with step `resumed_step` (0: a fresh run keeps none) and
  /// appends to them. Throws InputError where the file cannot be opened.
  MetricsLog(const std::filesystem::path& file, int64_t resumed_step);

  /// Throws RunError naming the file when it cannot be written.
  void write(const StepMetrics& metrics);

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };

  std::filesystem::path path_;
  std::unique_ptr<std::FILE, Close> file_;
};

}  // namespace dms::train
