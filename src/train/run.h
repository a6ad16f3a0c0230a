#pragma once
// `dms train` from the configuration to the student folder: data, training, logs, report page.

#include <string>

#include "train/config/train_config.h"

namespace dms::train {

/// Runs or resumes (config.trainer.resume). Returns the exit status: 0 when max_steps were reached,
/// 1 after an interruption. Throws InputError and RunError.
int run_training(const TrainConfig& config);

}  // namespace dms::train
