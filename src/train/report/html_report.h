#pragma once
// A run on one self-contained page: curves, what each head keeps, and a table of the run's facts.
// No script and nothing from elsewhere; light and dark follow the reader's system.

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "train/report/metrics.h"

namespace dms::train {

struct RunReport {
  std::string title;                         // "Qwen3-8B to CR 16"
  std::string loss_unit = "nats per token";  // of loss and KL
  std::vector<std::pair<std::string, std::string>>
      facts{};                       // what is known of the run: name, value
  std::vector<StepMetrics> steps{};  // in order (read_metrics)
  Retention retention{};             // empty: no heatmap
};

/// The page. Any numbers may stand in `report`, and any number of steps, none too.
std::string render_report(const RunReport& report);

/// Writes it whole or not at all. Throws InputError or RunError as OutputFile.
void write_report(const std::filesystem::path& file, const RunReport& report);

}  // namespace dms::train
