#pragma once
// The operations of dms/operations.h on arrays in device memory: ragged batches of rows in plain
// padded arrays, and attention of a whole prompt whose evictions are known. All functions:
// asynchronous on `stream`, no allocation. Lengths, masks and indices lie on the device too, so
// what is wrong with them is told by a flag there.

#include <cstddef>
#include <cstdint>

#include <cuda_bf16.h>

#include "cuda/kernels/device.h"

namespace dms::cuda {

/// Rows of `row_bytes` bytes each, of whatever type: [lists, rows, row_bytes], dense.
struct RaggedRowsView {
  const std::byte* data = nullptr;
  int64_t lists = 0;
  int64_t rows = 0;
  int64_t row_bytes = 0;
};

/// The first lengths[n] rows of list n, moved to the end of `width` rows; zeros before.
struct LeftPadParams {
  RaggedRowsView x{};
  const int64_t* lengths = nullptr;  // [lists]
  int64_t width = 0;
  std::byte* out = nullptr;  // [lists, width, row_bytes]
  int32_t* wrong = nullptr;  // becomes 1 where a length is beyond min(rows, width), and the list
                             // zeros
};

cudaError_t left_pad_2d(const LeftPadParams& params, cudaStream_t stream);

/// out[index[i]] = x[i]; rows that nobody names stay as they are.
struct ScatterParams {
  RaggedRowsView x{};              // one list
  const int64_t* index = nullptr;  // [rows], no two the same
  int64_t out_rows = 0;
  std::byte* out = nullptr;  // [out_rows, row_bytes]
  int32_t* wrong = nullptr;  // becomes 1 where an index is beyond `out`, and its row goes nowhere
};

cudaError_t scatter_by_index(const ScatterParams& params, cudaStream_t stream);

/// The rows that a mask keeps (not 0), in order, at the end of `width` rows; zeros before.
struct BoolGatherParams {
  RaggedRowsView x{};
  const uint8_t* mask = nullptr;  // [lists, rows]
  int64_t width = 0;
  std::byte* out = nullptr;   // [lists, width, row_bytes]
  int32_t* wrong = nullptr;   // becomes 1 where a list keeps more than `width`, and the list zeros
  void* workspace = nullptr;  // ragged_workspace_bytes()
};

cudaError_t bool_gather_left_pad(const BoolGatherParams& params, cudaStream_t stream);

/// The rows that a mask keeps, list after list without gaps.
struct CompactParams {
  RaggedRowsView x{};
  const uint8_t* mask = nullptr;  // [lists, rows]
  std::byte* out = nullptr;       // [rows kept, row_bytes]
  int64_t* begins = nullptr;      // [lists + 1] where each list begins in `out`, and the end
  void* workspace = nullptr;      // ragged_workspace_bytes()
};

cudaError_t compact_by_bool(const CompactParams& params, cudaStream_t stream);

int64_t ragged_workspace_bytes(const RaggedRowsView& x);

/// Attention of a whole prompt under DMS' mask in one pass: query t sees token i where i <= t and
/// (t - i <= window or i is kept). head_dim: 64, 80, 96 or 128.
struct FusedPrefillParams {
  int32_t tokens = 0;
  int32_t q_heads = 0;
  int32_t kv_heads = 0;
  int32_t head_dim = 0;
  const __nv_bfloat16* queries = nullptr;  // [tokens, q_heads, head_dim] after RoPE
  const __nv_bfloat16* keys = nullptr;     // [tokens, kv_heads, head_dim] after RoPE
  const __nv_bfloat16* values = nullptr;   // [tokens, kv_heads, head_dim]
  const uint8_t* evicted = nullptr;        // [kv_heads, tokens], not 0: evicted
  int32_t window = 256;
  float scale = 0.0f;            // multiplies q . k; 0: 1 / sqrt(head_dim)
  __nv_bfloat16* out = nullptr;  // [tokens, q_heads, head_dim]
  void* workspace = nullptr;     // fused_prefill_workspace_bytes()
};

int64_t fused_prefill_workspace_bytes(const FusedPrefillParams& params);
cudaError_t dms_fused_prefill(const FusedPrefillParams& params, cudaStream_t stream);

}  // namespace dms::cuda
