#pragma once
// From a configuration to the models of a run.

#include <memory>

#include "model/spec/model_spec.h"
#include "train/config/train_config.h"
#include "train/student.h"

namespace dms::train {

/// Student on `device` with its trained weights marked. Throws InputError naming what does not fit.
Student load_student(const TrainConfig& config, at::Device device = at::kCPU);

/// A frozen teacher of its own, where the student's weights cannot serve: other weights than the
/// adapter's are trained, or the config names another folder. Null otherwise. Lives where the
/// student does.
std::unique_ptr<Student> load_teacher(const TrainConfig& config, const Student& student);

}  // namespace dms::train
