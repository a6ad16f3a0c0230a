#pragma once
// The engine's attention of a prompt, alone: no weights, one layer, fates that are known.

#include <span>

#include "dms/operations.h"

namespace dms::cpu {

/// As dms_fused_prefill(), of a prompt whose sizes agree and that has tokens. Throws InputError on
/// an unknown dtype, RunError where memory is short.
void masked_prefill(const FusedPrefill& prompt, std::span<float> out);

}  // namespace dms::cpu
