#pragma once
// Where a run computes.

#include <string>

#include "train/launch.h"
#include "train/torch.h"

namespace dms::train {

/// `setting` is hf_trainer.device: "auto" (a GPU where this LibTorch sees one, else the CPU),
/// "cpu", "cuda" (each process the GPU of its rank on the machine) or "cuda:N". Throws InputError
/// where there is no such GPU.
at::Device choose_device(const std::string& setting, const Launch& launch);

}  // namespace dms::train
