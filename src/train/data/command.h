#pragma once
// The bodies of `dms data prepare` and `dms data inspect`: what they print.

#include <cstdint>
#include <string>

#include "train/config/train_config.h"
#include "train/data/batches.h"

namespace dms::train {

/// Prepares the data and returns the report: text for people, or one JSON object on one line. Both
/// end with a newline. Throws as prepare_data.
std::string run_prepare(const TrainConfig& config, bool json, const DataProgress& progress);

/// The same, and the first `samples` samples as text, in which what is no target is marked.
std::string run_inspect(const TrainConfig& config,
                        int64_t samples,
                        bool json,
                        const DataProgress& progress);

}  // namespace dms::train
