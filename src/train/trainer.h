#pragma once
// The training loop: accumulates micro-batches, steps the optimiser, saves and reports.

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "train/checkpoint/checkpoints.h"
#include "train/communicator.h"
#include "train/config/train_config.h"
#include "train/data/batches.h"
#include "train/models.h"
#include "train/objective.h"
#include "train/optimizer.h"
#include "train/report/metrics.h"
#include "train/student.h"

namespace dms::train {

/// Called on rank 0.
struct TrainerEvents {
  std::function<void(const StepMetrics&, const Retention&)> on_step;  // after each optimiser step
  std::function<void(const std::filesystem::path&)> on_save;          // after each checkpoint
};

enum class TrainerEnd { finished, interrupted };

class Trainer {
 public:
  /// Loads the models to `device`; keeps references to the other arguments.
  Trainer(const TrainConfig& config,
          const PreparedData& data,
          Communicator& ranks,
          at::Device device = at::kCPU);

  /// Continues from a checkpoint, with the sample after its last. Returns notes: settings that are
  /// no longer what they were. Throws InputError when it is of another model.
  std::vector<std::string> resume(const CheckpointFolder& folder);

  /// Trains to max_steps, or until a signal asks to stop; saves every save_steps and at the end.
  /// Throws RunError naming the step when the loss or the gradient is not finite, after saving the
  /// state before that step.
  TrainerEnd run(const TrainerEvents& events);

  int64_t step() const { return step_; }
  const Student& student() const { return student_; }

 private:
  struct Totals;

  Totals accumulate();
  Totals accumulate_together(std::exception_ptr failure);
  Totals reduce(const Totals& own) const;
  StepMetrics metrics_of(const Totals& totals, double gradient_norm, double seconds) const;
  Retention retention_of(const Totals& totals) const;
  void save(const TrainerEvents& events, bool prunes = true);
  void refuse_nonfinite(double loss, double gradient_norm, const TrainerEvents& events);

  const TrainConfig& config_;
  const PreparedData& data_;
  Communicator& ranks_;
  Student student_;
  std::unique_ptr<Student> teacher_;
  std::unique_ptr<ObjectiveFunction> objective_;
  Optimizer optimizer_;
  int64_t step_ = 0;         // optimiser steps done
  int64_t samples_ = 0;      // consumed in them, all ranks
  int64_t saved_step_ = -1;  // of the latest checkpoint
};

}  // namespace dms::train
