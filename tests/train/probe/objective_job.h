#pragma once
// One micro-batch's loss under a training configuration, and the gradients it leaves.

#include "train/probe/tensors.h"

namespace dms::train::probe {

/// loss, kl, lm_loss, fraction_closed (scalars), layer_fraction, noise as it was drawn, and
/// "gradient.WEIGHT" of each trained weight. Throws InputError for a bad config or folder.
Tensors run_objective(const Json& job);

}  // namespace dms::train::probe
