#pragma once
// Activation checkpointing: a function's inputs are kept and its insides computed again in the
// backward, so that a layer costs the memory of its input.

#include <functional>
#include <vector>

#include "train/torch.h"

namespace dms::train {

using LayerFunction = std::function<std::vector<at::Tensor>(const at::Tensor& x)>;

/// Runs `function(inputs[0])`. The other inputs are the leaves the function captures and whose
/// gradients are wanted: they must be listed, or the function's result would not know that it
/// depends on them.
std::vector<at::Tensor> run_checkpointed(LayerFunction function,
                                         const std::vector<at::Tensor>& inputs);

}  // namespace dms::train
