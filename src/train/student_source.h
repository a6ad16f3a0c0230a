#pragma once
// Where a student's weights come from: the base folder, with an adapter that starts fresh where the
// base has none, and over both what a checkpoint has trained.

#include <memory>
#include <string>
#include <vector>

#include "model/spec/model_spec.h"
#include "model/spec/weights.h"
#include "train/checkpoint/checkpoints.h"
#include "train/checkpoint/train_state.h"
#include "train/config/train_config.h"

namespace dms::train {

/// `config` for what goes on from a checkpoint: a start from scores lies behind it, and their
/// folder is not read again. It is where the checkpoint lacks what came of them.
TrainConfig past_start(const TrainConfig& config, const TrainState& state);

/// The base folder's spec with the run's eviction settings (objective dms), or without any. Throws
/// InputError where training does not compute the model.
ModelSpec student_spec(const TrainConfig& config);

/// Names and patterns of the weights that are trained: objective lm trains all.
std::vector<std::string> trained_patterns(const TrainConfig& config);

/// Whether weights that a configuration names as `weights` are computed in bf16, else in float32.
bool computes_in_bf16(const TrainConfig& config, DType weights);

/// Must the teacher be a copy of its own? Yes where the student's weights cannot serve: other
/// weights than the adapter's are trained, or the config names another folder.
bool needs_own_teacher(const TrainConfig& config, const ModelSpec& spec);

/// What training starts from. An adapter that the base lacks has its norm at one, projection and
/// bias at zero. Throws InputError naming what is missing or has another shape.
std::unique_ptr<WeightSource> open_base(const TrainConfig& config, const ModelSpec& spec);

/// What a checkpoint reached: its weights over the base's.
std::unique_ptr<WeightSource> open_trained(const TrainConfig& config,
                                           const ModelSpec& spec,
                                           const CheckpointFolder& checkpoint);

}  // namespace dms::train
