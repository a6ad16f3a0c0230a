#pragma once
// Values made on the device: what is measured reads gigabytes that no host should make.

#include <cstdint>

#include <cuda_bf16.h>

#include "cuda/kernels/cache_view.h"

namespace dms::bench {

/// Even in [-scale, scale].
cudaError_t fill_bf16(
    __nv_bfloat16* out, int64_t count, float scale, uint64_t seed, cudaStream_t stream);
cudaError_t fill_f32(float* out, int64_t count, float scale, uint64_t seed, cudaStream_t stream);

/// Codes without NaN: E4M3 below 2, and bytes that serve as int8 or int4 as well.
cudaError_t fill_codes(uint8_t* out, int64_t count, uint64_t seed, cudaStream_t stream);

/// Fates of `words` times 32 tokens, each evicted with probability 1 - keep.
cudaError_t fill_fates(
    uint32_t* out, int64_t words, double keep, uint64_t seed, cudaStream_t stream);

/// `pages` pages of one format, one after another: values as above, scales of 1/64.
cudaError_t fill_pages(std::byte* out,
                       int64_t pages,
                       cuda::KvFormat format,
                       int32_t head_dim,
                       uint64_t seed,
                       cudaStream_t stream);

/// Copies 16 bytes a thread, a multiple of 16 in all; what a device's own copy does.
cudaError_t copy_bytes(std::byte* out, const std::byte* from, int64_t bytes, cudaStream_t stream);
/// Reads as many and writes 4 bytes a block, [kMostBlocks] at most: what decode does.
cudaError_t read_bytes(uint32_t* out, const std::byte* from, int64_t bytes, cudaStream_t stream);
inline constexpr int kMostBlocks = 4096;

}  // namespace dms::bench
