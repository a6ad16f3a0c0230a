#include "train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace dms::train {
namespace {

double ratio(int64_t part, int64_t whole) {
  return whole <= 0 ? 1.0
                    : std::clamp(static_cast<double>(part) / static_cast<double>(whole), 0.0, 1.0);
}

/// Way through the CR's schedule, which begins when the borrowed channel has faded.
double progress(const TrainConfig& config, int64_t step) {
  const int64_t last = config.dms.final_step.value_or(config.trainer.max_steps);
  const int64_t begin = config.dms.fade_steps;
  return step <= begin && begin > 0 ? 0.0 : ratio(step - begin, last - begin);
}

/// Falls from 1 to the least factor as `way` goes from 0 to 1; by a cosine, as transformers'
/// schedules do where they are not called linear.
double decay(const TrainerSection& trainer, double way) {
  const double shape = trainer.schedule == LrSchedule::linear
                           ? 1.0 - way
                           : 0.5 * (1.0 + std::cos(std::numbers::pi * way));
  return trainer.min_lr_ratio + (1.0 - trainer.min_lr_ratio) * shape;
}

}  // namespace

double lr_factor(const TrainerSection& trainer, int64_t step) {
  if (step < trainer.warmup_steps) return ratio(step + 1, trainer.warmup_steps);
  switch (trainer.schedule) {
    case LrSchedule::constant:
      return 1.0;
    case LrSchedule::linear:
    case LrSchedule::cosine:
      return decay(trainer,
                   ratio(step - trainer.warmup_steps, trainer.max_steps - trainer.warmup_steps));
    case LrSchedule::warmup_stable_decay:
      return decay(
          trainer,
          trainer.decay_steps == 0
              ? 0.0
              : ratio(step - (trainer.max_steps - trainer.decay_steps), trainer.decay_steps));
  }
  return 1.0;
}

double compression_ratio(const TrainConfig& config, int64_t step) {
  const DmsSection& dms = config.dms;
  return dms.initial_cr + (dms.final_cr - dms.initial_cr) * progress(config, step);
}

double target_fraction(const TrainConfig& config, int64_t step) {
  return 1.0 - 1.0 / compression_ratio(config, step);
}

double temperature(const TrainConfig& config, int64_t step) {
  const double start = config.dms.tau_start.value_or(config.dms.tau);
  return start + (config.dms.tau - start) * progress(config, step);
}

double borrowed_left(const TrainConfig& config, int64_t step) {
  return config.dms.fade_steps <= 0 ? 0.0 : 1.0 - ratio(step, config.dms.fade_steps);
}

}  // namespace dms::train
