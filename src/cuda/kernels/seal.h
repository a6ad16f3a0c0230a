#pragma once
// Window exit: kept tokens become survivors in survivor_format, the others are forgotten. Heads
// take pages from the device's free list and count on the device; the host learns of it later.
// Where a token's fate is decided a step after it was computed (FateParams::shift 1), window +
// slack must be at least 1: a step seals before it decides.

#include <cstdint>

#include <cuda_bf16.h>

#include "cuda/kernels/cache_view.h"

namespace dms::cuda {

struct SealParams {
  CacheView cache{};
  SlotView slots{};
  RowView rows{};
};

/// At the start of a step, for the slots of rows that decode, in all layers: seals from sealed_end
/// to max(0, tokens - window - slack) and sets sealed_end (a head that finds no page sets
/// FreePages::shortage and loses nothing that was sealed before).
cudaError_t seal_windows(const SealParams& params, cudaStream_t stream);

/// Of one prompt's chunk in one layer, after its attention: seals all tokens before `sealed_end`
/// that are not yet, be they in the window or in the chunk, and writes the chunk's others to the
/// window. SlotView::sealed_end stays what it is: the last layer's caller moves it
/// (finish_chunk()).
struct SealChunkParams {
  CacheView cache{};
  int32_t slot = 0;
  int32_t layer = 0;
  int32_t old_sealed_end = 0;
  int32_t sealed_end = 0;  // max(0, first + count - window - slack), at least old_sealed_end
  int32_t first = 0;       // position of the chunk's first token
  int32_t count = 0;
  const __nv_bfloat16* keys = nullptr;    // [count, kv_heads, head_dim]
  const __nv_bfloat16* values = nullptr;  // likewise
};

cudaError_t seal_chunk(const SealChunkParams& params, cudaStream_t stream);

/// After the last layer: tokens += the rows of each slot that decodes (1).
cudaError_t finish_decode(const SealParams& params, cudaStream_t stream);

/// tokens[slot] = tokens, sealed_end[slot] = sealed_end.
cudaError_t finish_chunk(
    const SlotView& slots, int32_t slot, int32_t tokens, int32_t sealed_end, cudaStream_t stream);

}  // namespace dms::cuda
