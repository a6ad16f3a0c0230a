// The dense runs of a chunk's attention: see prefill_workspace.h. Copies each exact token once (and
// once more where it is kept), which is little beside the attention that reads it many times.

#include <algorithm>

#include "cuda/kernels/fate_bits.cuh"
#include "cuda/kernels/prefill_workspace.h"
#include "cuda/kernels/reduce.cuh"

namespace dms::cuda {
namespace {

constexpr int kWarps = 8;  // a word of fates, which is a page of the window, each
constexpr int kThreads = 32 * kWarps;
constexpr int kMostTileTokens = 128;  // of an attention's tile

struct TokenSource {
  const uint4* key;
  const uint4* value;
};

template <int kHeadDim>
__device__ __forceinline__ TokenSource source_of(const PrefillAttentionParams& p,
                                                 int32_t kv_head,
                                                 const std::byte* window_page,
                                                 int32_t position) {
  if (position < p.first) {
    const std::byte* key = window_page + position % kPageTokens * kHeadDim * 2;
    return {reinterpret_cast<const uint4*>(key),
            reinterpret_cast<const uint4*>(key + side_bytes(KvFormat::bf16, kHeadDim))};
  }
  const int64_t row = static_cast<int64_t>(position - p.first) * p.cache.kv_heads + kv_head;
  return {reinterpret_cast<const uint4*>(p.keys + row * kHeadDim),
          reinterpret_cast<const uint4*>(p.values + row * kHeadDim)};
}

/// Clears what a tile would read behind the last kept token, in a warp.
template <int kHeadDim>
__device__ __forceinline__ void clear_behind(const PrefillWorkspace& w,
                                             int32_t kv_head,
                                             int32_t kept) {
  constexpr int kVectors = kHeadDim / 8;
  const int32_t rows = min(w.kept_room - kept, kMostTileTokens - 1);
  const int64_t first = (static_cast<int64_t>(kv_head) * w.kept_room + kept) * kVectors;
  for (int32_t v = static_cast<int32_t>(threadIdx.x % 32); v < rows * kVectors; v += 32) {
    reinterpret_cast<uint4*>(w.kept_keys)[first + v] = {};
    reinterpret_cast<uint4*>(w.kept_values)[first + v] = {};
  }
}

template <int kHeadDim>
__global__ void __launch_bounds__(kThreads)
    gather_kernel(const PrefillAttentionParams p, const PrefillWorkspace w) {
  constexpr int kVectors = kHeadDim / 8;  // of 16 bytes in a row
  const int32_t kv_head = static_cast<int32_t>(blockIdx.y);
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int64_t head = head_index(p.cache, p.slot, p.layer, kv_head);
  const uint32_t* fates = p.cache.fates + head * p.cache.fate_words;
  const int32_t first_word = p.sealed_end / 32;
  const int32_t block_word = first_word + static_cast<int32_t>(blockIdx.x) * kWarps;
  const int32_t word = block_word + static_cast<int32_t>(threadIdx.x / 32);
  const int32_t kept_end = p.sealed_end + w.kept_room;

  int32_t before = 0;
  for (int32_t i = first_word + static_cast<int32_t>(threadIdx.x); i < block_word; i += kThreads) {
    before += __popc(kept_word(fates, i, p.sealed_end, kept_end));
  }
  __shared__ int32_t sums[kWarps];
  before = block_sum<kThreads>(before, sums);
  for (int32_t i = block_word; i < word; ++i) {
    before += __popc(kept_word(fates, i, p.sealed_end, kept_end));
  }
  const uint32_t kept = kept_word(fates, word, p.sealed_end, kept_end);
  const int32_t own_position = 32 * word + lane;
  if (own_position >= p.sealed_end && own_position <= kept_end) {
    w.ranks[static_cast<int64_t>(kv_head) * (w.kept_room + 1) + own_position - p.sealed_end] =
        before + __popc(kept & ((1u << lane) - 1));
  }

  if (word == kept_end / 32) clear_behind<kHeadDim>(w, kv_head, before + __popc(kept));

  const std::byte* window_page = nullptr;
  if (32 * word < p.first) {
    window_page = p.cache.arena +
                  static_cast<int64_t>(
                      p.cache.window_table[head * p.cache.ring_pages + word % p.cache.ring_pages]) *
                      kPageUnit;
  }
  for (int v = lane; v < 32 * kVectors; v += 32) {
    const int bit = v / kVectors;
    const int vector = v % kVectors;
    const int32_t position = 32 * word + bit;
    if (position < p.sealed_end || position >= p.first + p.count) continue;
    const TokenSource from = source_of<kHeadDim>(p, kv_head, window_page, position);
    const uint4 key = from.key[vector];
    const uint4 value = from.value[vector];
    const int64_t exact = static_cast<int64_t>(kv_head) * w.exact + position - p.sealed_end;
    reinterpret_cast<uint4*>(w.exact_keys)[exact * kVectors + vector] = key;
    reinterpret_cast<uint4*>(w.exact_values)[exact * kVectors + vector] = value;
    if ((kept >> bit & 1) == 0) continue;
    const int64_t rank =
        static_cast<int64_t>(kv_head) * w.kept_room + before + __popc(kept & ((1u << bit) - 1));
    reinterpret_cast<uint4*>(w.kept_keys)[rank * kVectors + vector] = key;
    reinterpret_cast<uint4*>(w.kept_values)[rank * kVectors + vector] = value;
  }
}

}  // namespace

PrefillWorkspace prefill_workspace(const PrefillAttentionParams& params) {
  const int32_t exact = params.first + params.count - params.sealed_end;
  const int64_t beyond = static_cast<int64_t>(exact) - 1 - params.window;
  PrefillWorkspace w{.exact = exact,
                     .kept_room = static_cast<int32_t>(std::max<int64_t>(0, beyond))};
  const int64_t token = static_cast<int64_t>(params.cache.kv_heads) * params.cache.head_dim;
  w.exact_keys = static_cast<__nv_bfloat16*>(params.workspace);
  w.exact_values = w.exact_keys + token * w.exact;
  w.kept_keys = w.exact_values + token * w.exact;
  w.kept_values = w.kept_keys + token * w.kept_room;
  w.ranks = reinterpret_cast<int32_t*>(w.kept_values + token * w.kept_room);
  return w;
}

int64_t prefill_workspace_bytes(const PrefillAttentionParams& params) {
  const PrefillWorkspace w = prefill_workspace(params);
  const int64_t kv_heads = params.cache.kv_heads;
  const int64_t rows = kv_heads * (static_cast<int64_t>(w.exact) + w.kept_room);
  return rows * params.cache.head_dim * 4 + kv_heads * (static_cast<int64_t>(w.kept_room) + 1) * 4;
}

cudaError_t check(const PrefillAttentionParams& params) {
  const CacheView& cache = params.cache;
  const bool sizes_fit = params.count >= 0 && params.sealed_end >= 0 && params.window >= 0 &&
                         params.sealed_end <= params.first && cache.kv_heads > 0 &&
                         params.q_heads > 0 && params.q_heads % cache.kv_heads == 0;
  return sizes_fit ? cudaSuccess : cudaErrorInvalidValue;
}

cudaError_t gather_exact(const PrefillAttentionParams& params, cudaStream_t stream) {
  const PrefillWorkspace w = prefill_workspace(params);
  const int32_t words = (params.first + params.count + 31) / 32 - params.sealed_end / 32;
  const dim3 grid(static_cast<unsigned>((words + kWarps - 1) / kWarps),
                  static_cast<unsigned>(params.cache.kv_heads));
  return with_head_dim(params.cache.head_dim, [&](auto head_dim) {
    gather_kernel<head_dim.value><<<grid, kThreads, 0, stream>>>(params, w);
    return cudaGetLastError();
  });
}

}  // namespace dms::cuda
