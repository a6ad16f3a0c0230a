// A whole prompt whose evictions are known is a chunk with nothing before it: evictions become the
// fates of a cache that is otherwise empty.

#include <cmath>

#include "cuda/kernels/prefill_attention.h"
#include "cuda/kernels/ragged.h"

namespace dms::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int64_t kAlignment = 256;

/// A warp makes a word. Also says that there are no survivors.
__global__ void __launch_bounds__(kThreads) pack_fates_kernel(
    const uint8_t* evicted, int32_t tokens, int32_t words, uint32_t* fates, int32_t* survivors) {
  const int64_t kv_head = blockIdx.y;
  const int32_t token = static_cast<int32_t>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
  const bool is_evicted = token < tokens && evicted[kv_head * tokens + token] != 0;
  const uint32_t word = __ballot_sync(~0u, is_evicted);
  if (token % 32 == 0 && token < tokens) fates[kv_head * words + token / 32] = word;
  if (token == 0) survivors[kv_head] = 0;
}

/// What stands before the attention's own workspace.
struct FateRoom {
  int32_t words = 0;
  int64_t bytes = 0;
};

FateRoom fate_room(const FusedPrefillParams& params) {
  const int32_t words = (params.tokens + 31) / 32;
  const int64_t bytes = static_cast<int64_t>(params.kv_heads) * (words + 1) * 4;
  return {words, (bytes + kAlignment - 1) / kAlignment * kAlignment};
}

PrefillAttentionParams as_chunk(const FusedPrefillParams& params) {
  const FateRoom room = fate_room(params);
  PrefillAttentionParams chunk;
  chunk.cache.layers = 1;
  chunk.cache.kv_heads = params.kv_heads;
  chunk.cache.head_dim = params.head_dim;
  chunk.cache.fate_words = room.words;
  chunk.cache.fates = static_cast<uint32_t*>(params.workspace);
  chunk.cache.survivors = reinterpret_cast<int32_t*>(
      chunk.cache.fates + static_cast<int64_t>(params.kv_heads) * room.words);
  chunk.q_heads = params.q_heads;
  chunk.window = params.window;
  chunk.count = params.tokens;
  chunk.score_scale =
      params.scale == 0.0f ? 1.0f / std::sqrt(static_cast<float>(params.head_dim)) : params.scale;
  chunk.queries = params.queries;
  chunk.keys = params.keys;
  chunk.values = params.values;
  chunk.out = params.out;
  chunk.workspace = static_cast<std::byte*>(params.workspace) + room.bytes;
  return chunk;
}

}  // namespace

int64_t fused_prefill_workspace_bytes(const FusedPrefillParams& params) {
  return fate_room(params).bytes + prefill_workspace_bytes(as_chunk(params));
}

cudaError_t dms_fused_prefill(const FusedPrefillParams& params, cudaStream_t stream) {
  if (params.tokens < 0 || params.kv_heads < 1) return cudaErrorInvalidValue;
  if (params.tokens == 0) return cudaSuccess;
  int device = 0;
  int major = 0;
  cudaError_t error = cudaGetDevice(&device);
  if (error == cudaSuccess) {
    error = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
  }
  if (error != cudaSuccess) return error;
  const PrefillAttentionParams chunk = as_chunk(params);
  const dim3 grid(static_cast<unsigned>((params.tokens + kThreads - 1) / kThreads),
                  static_cast<unsigned>(params.kv_heads));
  pack_fates_kernel<<<grid, kThreads, 0, stream>>>(params.evicted,
                                                   params.tokens,
                                                   chunk.cache.fate_words,
                                                   chunk.cache.fates,
                                                   chunk.cache.survivors);
  error = cudaGetLastError();
  if (error != cudaSuccess) return error;
  return prompt_attention(major)(chunk, stream);
}

}  // namespace dms::cuda
