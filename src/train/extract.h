#pragma once
// From a checkpoint to a folder that the engine serves.

#include <filesystem>
#include <string>
#include <vector>

#include "train/checkpoint/checkpoints.h"
#include "train/config/train_config.h"

namespace dms::train {

/// In hf_trainer.output_dir, made at the end of a run.
inline constexpr const char* kStudentFolder = "student_model";

enum class ExtractWhat { student, adapter };

/// Writes the student of a checkpoint as a Hugging Face folder, or its adapter alone. Returns notes
/// for the user. Throws InputError when the checkpoint does not fit the config.
std::vector<std::string> extract(const TrainConfig& asked,
                                 const CheckpointFolder& checkpoint,
                                 const std::filesystem::path& out,
                                 ExtractWhat what);

}  // namespace dms::train
