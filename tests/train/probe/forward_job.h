#pragma once
// A forward pass of a model folder: eviction off, or decided as at inference.

#include "train/probe/tensors.h"

namespace dms::train::probe {

/// logits [rows, tokens, vocab]; with "decisions", those of the first row, [layers, kv_heads,
/// tokens] by the token that decides. Throws InputError for a bad folder.
Tensors run_forward(const Json& job);

}  // namespace dms::train::probe
