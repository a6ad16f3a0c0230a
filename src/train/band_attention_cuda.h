#pragma once
// Band attention by the kernels that LibTorch has on GPUs, which know windows. Used by
// band_attention.cpp alone, for tensors that are not on the CPU.

#include "train/band_attention.h"

namespace dms::train {

AttentionOutputs cuda_band_forward(const AttentionInputs& in, int64_t reach, double scale);

AttentionGradients cuda_band_backward(const at::Tensor& grad,
                                      const AttentionInputs& in,
                                      const AttentionOutputs& whole,
                                      int64_t reach,
                                      double scale);

}  // namespace dms::train
