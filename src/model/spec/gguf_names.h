#pragma once
// What llama.cpp calls the weights.

#include <string>

#include "model/spec/weights.h"

namespace dms {

/// Factors that llama.cpp divides the rotary frequencies by (Llama 3's scaling).
inline constexpr const char* kRopeFactors = "rope_freqs.weight";

/// "blk.3.attn_q.weight"; empty for a weight that the format has no name for.
std::string gguf_name(WeightRole role, int64_t layer);

}  // namespace dms
