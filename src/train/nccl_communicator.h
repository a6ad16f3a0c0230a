#pragma once
// Ranks on GPUs, by NCCL.

#include <functional>
#include <memory>
#include <string>

#include "train/communicator.h"

namespace dms::train {

/// Gives every rank what rank 0 passes: how NCCL's identity of the group gets around.
using ShareBytes = std::function<std::string(const std::string& bytes)>;

/// `share` is kept for as long as the communicator lives. Tensors on the CPU are taken too, by way
/// of the GPU. Throws RunError with NCCL's words.
std::unique_ptr<Communicator> make_nccl_communicator(int64_t rank,
                                                     int64_t size,
                                                     at::Device device,
                                                     ShareBytes share);

}  // namespace dms::train
