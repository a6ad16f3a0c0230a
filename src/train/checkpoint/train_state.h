#pragma once
// state.json: where a training run stands. What it showed so far (its losses) is not state.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace dms::train {

inline constexpr std::string_view kTrainStateFile = "state.json";

struct TrainState {
  int64_t step = 0;      // optimiser steps done
  int64_t samples = 0;   // samples consumed, all ranks
  uint64_t seed = 0;     // the run's; all random numbers follow from it and the step
  std::string config{};  // the YAML it was started with
  /// The student's first tokens that are kept; none: no eviction, or an older checkpoint.
  std::optional<int64_t> sinks{};
};

/// Throws InputError when the config text is not UTF-8, RunError when the disk is full.
void write_train_state(const std::filesystem::path& file, const TrainState& state);
/// Throws InputError naming file and field.
TrainState read_train_state(const std::filesystem::path& file);

}  // namespace dms::train
