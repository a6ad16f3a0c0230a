#pragma once
// One line a step: metrics.jsonl, and what the report page and the progress line are made from.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace dms::train {

/// What one optimiser step showed, reduced over ranks and accumulation. Written as one JSON object
/// with these names.
struct StepMetrics {
  int64_t step = 0;  // 1 after the first optimiser step
  double loss = 0.0;
  std::optional<double> kl;  // objective dms
  double lm_loss = 0.0;
  std::optional<double> target_fraction;
  std::optional<double> fraction_closed;
  std::optional<double> cr;  // 1 / (1 - fraction_closed)
  std::optional<double> target_cr;
  double lr = 0.0;
  double grad_norm = 0.0;
  double tok_s = 0.0;
  int64_t tokens = 0;  // input tokens of this step, all ranks
};

/// Share of tokens kept, [layers][kv_heads], of the latest steps.
using Retention = std::vector<std::vector<double>>;

}  // namespace dms::train
