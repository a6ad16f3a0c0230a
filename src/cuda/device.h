#pragma once
// CUDA among the devices that models are opened on.

namespace dms::cuda {

/// Has ModelOptions::device "cuda" mean the first CUDA device. It is looked at when a model is
/// opened on it.
void add_cuda_device();

}  // namespace dms::cuda
