#pragma once
// Attention of one prompt's chunk in one layer, sparse and exact (decision 4): tiles of queries
// attend the survivors of before (no mask), the kept tokens between the sealed end and the band,
// gathered once (a causal edge per query), and the band itself (mask of semantics.md section 1).
// Before seal_chunk(): the window still holds the tokens [sealed_end, first).

#include <cstdint>

#include <cuda_bf16.h>

#include "cuda/kernels/cache_view.h"

namespace dms::cuda {

struct PrefillAttentionParams {
  CacheView cache{};
  int32_t slot = 0;
  int32_t layer = 0;
  int32_t q_heads = 0;
  int32_t window = 0;      // W
  int32_t sealed_end = 0;  // the slot's, before the chunk
  int32_t first = 0;       // position of the chunk's first token
  int32_t count = 0;
  float score_scale = 1.0f;                // multiplies scores
  const __nv_bfloat16* queries = nullptr;  // [count, q_heads, head_dim], scaled
  const __nv_bfloat16* keys = nullptr;     // [count, kv_heads, head_dim]
  const __nv_bfloat16* values = nullptr;   // likewise
  __nv_bfloat16* out = nullptr;            // [count, q_heads, head_dim]
  // Room for the exact tokens [sealed_end, first + count) in order, and for the kept ones of them:
  // prefill_workspace_bytes(), from a multiple of 256 on.
  void* workspace = nullptr;
};

int64_t prefill_workspace_bytes(const PrefillAttentionParams& params);

/// mma.sync, for any device from sm_80 on.
cudaError_t prefill_attention(const PrefillAttentionParams& params, cudaStream_t stream);
/// wgmma and TMA, for sm_90a alone; cudaErrorNotSupported where head_dim is neither 64 nor 128, or
/// the driver makes no tensor maps.
cudaError_t prefill_attention_sm90(const PrefillAttentionParams& params, cudaStream_t stream);

/// By sm_90a's instructions, or as elsewhere what those are not for: heads of 80 and 96 channels, a
/// driver that makes no tensor maps. What was put on the stream until then only gathers, and is put
/// there again.
inline cudaError_t prefill_attention_hopper(const PrefillAttentionParams& params,
                                            cudaStream_t stream) {
  const cudaError_t error = prefill_attention_sm90(params, stream);
  if (error != cudaErrorNotSupported) return error;
  cudaGetLastError();  // a driver without tensor maps leaves one, which launches would take for
                       // theirs
  return prefill_attention(params, stream);
}

using AttendPrompt = cudaError_t (*)(const PrefillAttentionParams& params, cudaStream_t stream);

/// For a device of that compute capability (9: sm_90a has instructions that no other has).
inline AttendPrompt prompt_attention(int major) {
  return major == 9 ? prefill_attention_hopper : prefill_attention;
}

}  // namespace dms::cuda
