#pragma once
// What is minimised: distillation with a compression target (semantics.md section 2), or plain
// language modelling.

#include <cstdint>
#include <memory>

#include "train/batch.h"
#include "train/config/train_config.h"
#include "train/student.h"
#include "train/torch.h"

namespace dms::train {

/// One micro-batch's loss, and what is reported of it.
struct MicroResult {
  at::Tensor loss;  // scalar, to be differentiated
  double kl = 0.0;
  double lm_loss = 0.0;
  double fraction_closed = 0.0;
  at::Tensor layer_fraction;  // [layers, kv_heads], undefined without eviction
};

class ObjectiveFunction {
 public:
  virtual ~ObjectiveFunction() = default;
  /// `step`: optimiser steps done; `micro` = accumulation_step * world_size + rank.
  virtual MicroResult operator()(const Batch& batch, int64_t step, int64_t micro) const = 0;
};

/// Keeps references to config, student and teacher. `teacher` null: the student itself with
/// eviction off.
std::unique_ptr<ObjectiveFunction> make_objective(const TrainConfig& config,
                                                  const Student& student,
                                                  const Student* teacher);

}  // namespace dms::train
