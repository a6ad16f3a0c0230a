#pragma once
// What a step's number decides: learning rate, compression ratio, temperature. Pure functions, so
// that a resumed run needs no state of theirs.

#include <cstdint>

#include "train/config/train_config.h"

namespace dms::train {

/// The learning rate's factor in [0, 1] at optimiser step `step` (0 is the first).
double lr_factor(const TrainerSection& trainer, int64_t step);

/// CR(step) = initial + (final - initial) * min(step / final_step, 1), after the fading phase.
double compression_ratio(const TrainConfig& config, int64_t step);

/// 1 - 1 / CR(step): the share of decisions that should evict.
double target_fraction(const TrainConfig& config, int64_t step);

/// dms.tau, or on the way there from dms.tau_start along the CR's schedule.
double temperature(const TrainConfig& config, int64_t step);

/// neuron: what is left of the borrowed channel, 1 falling to 0 over dms.fade_steps.
double borrowed_left(const TrainConfig& config, int64_t step);

}  // namespace dms::train
