#pragma once
// A prompt's attention between events, for who wants to know its share of a prompt's time.

#include <cstddef>
#include <vector>

#include "cuda/kernels/prefill_attention.h"

namespace dms::bench {

/// As the functions of cuda/kernels/prefill_attention.h.
cudaError_t timed_attention(const cuda::PrefillAttentionParams& params, cudaStream_t stream);
cudaError_t timed_attention_hopper(const cuda::PrefillAttentionParams& params, cudaStream_t stream);

/// All of it since the last call. Waits for the device.
double take_attention_milliseconds();
/// Likewise, of each `calls` calls together, in order.
std::vector<double> take_attention_milliseconds(size_t calls);

}  // namespace dms::bench
