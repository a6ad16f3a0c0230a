#pragma once
// What gather_exact() lays down for a chunk's attention, in PrefillAttentionParams::workspace: per
// KV head the exact tokens [sealed_end, first + count) in order, so that the band is one dense run
// whatever part of it lay in the window's ring; then the kept ones of those that some query sees
// from beyond its band; and how many of these come before each position.

#include <cstdint>
#include <type_traits>

#include <cuda_bf16.h>

#include "cuda/kernels/prefill_attention.h"

namespace dms::cuda {

struct PrefillWorkspace {
  int32_t exact = 0;      // tokens from the sealed end on
  int32_t kept_room = 0;  // of them, those that lie beyond the band of the chunk's last query
  __nv_bfloat16* exact_keys = nullptr;  // [kv_heads, exact, head_dim]
  __nv_bfloat16* exact_values = nullptr;
  __nv_bfloat16* kept_keys = nullptr;  // [kv_heads, kept_room, head_dim], the first ones set
  __nv_bfloat16* kept_values = nullptr;
  int32_t* ranks = nullptr;  // [kv_heads, kept_room + 1] kept tokens before sealed_end + index
};

PrefillWorkspace prefill_workspace(const PrefillAttentionParams& params);

/// Fills the workspace.
cudaError_t gather_exact(const PrefillAttentionParams& params, cudaStream_t stream);

/// cudaErrorInvalidValue where sizes do not fit each other.
cudaError_t check(const PrefillAttentionParams& params);

/// Calls `run` with std::integral_constant of a head_dim that kernels are built for.
template <class Run>
cudaError_t with_head_dim(int32_t head_dim, const Run& run) {
  switch (head_dim) {
    case 64:
      return run(std::integral_constant<int, 64>{});
    case 80:
      return run(std::integral_constant<int, 80>{});
    case 96:
      return run(std::integral_constant<int, 96>{});
    case 128:
      return run(std::integral_constant<int, 128>{});
    default:
      return cudaErrorInvalidValue;
  }
}

}  // namespace dms::cuda
