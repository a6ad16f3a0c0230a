#pragma once
// A run's state to and from a checkpoint folder: each rank's float32 weights and moments as
// safetensors (weights-RANK, moments-RANK), and state.json.

#include <cstdint>
#include <filesystem>

#include "train/checkpoint/checkpoints.h"
#include "train/checkpoint/train_state.h"
#include "train/communicator.h"
#include "train/optimizer.h"

namespace dms::train {

/// Writes checkpoint-STEP into `output_dir`; all ranks call it. Returns its path on rank 0. Throws
/// on every rank when one rank fails (a full disk: RunError); older checkpoints stay.
std::filesystem::path save_checkpoint(const std::filesystem::path& output_dir,
                                      const TrainState& state,
                                      const Optimizer& optimizer,
                                      Communicator& ranks);

/// Restores the optimiser and the weights, whatever the number of ranks that wrote it; all ranks
/// call it. Throws InputError naming the file and the tensor that is missing or of another shape,
/// on every rank when one rank meets it.
TrainState load_checkpoint(const CheckpointFolder& folder,
                           Optimizer& optimizer,
                           Communicator& ranks);

}  // namespace dms::train
