// Window exit. Fresh pages are not cleared: nothing reads entries beyond a head's count.

#include "cuda/kernels/fate_bits.cuh"
#include "cuda/kernels/seal.h"
#include "cuda/kernels/survivors.cuh"

namespace dms::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = kWarps * kWarpLanes;
/// In a survivor table: a page that was wanted and not there.
constexpr uint32_t kNoPage = 0xffffffffu;

/// A lane's four channels of one token's key and value, in bf16.
struct TokenPart {
  uint2 key{};
  uint2 value{};
};

__device__ __forceinline__ uint2 load_part(const void* side, int64_t token_bytes, int lane) {
  return reinterpret_cast<const uint2*>(static_cast<const std::byte*>(side) + token_bytes)[lane];
}

__device__ __forceinline__ std::byte* window_page(const CacheView& cache,
                                                  int64_t head,
                                                  int32_t token) {
  return page_at(
      cache, cache.window_table[head * cache.ring_pages + token / kPageTokens % cache.ring_pages]);
}

__device__ __forceinline__ TokenPart
load_from_window(const CacheView& cache, int64_t head, int32_t token, int lane, bool is_in_head) {
  if (!is_in_head) return {};
  const std::byte* page = window_page(cache, head, token);
  const int64_t at = static_cast<int64_t>(token % kPageTokens) * cache.head_dim * 2;
  return {load_part(page, at, lane),
          load_part(page + side_bytes(KvFormat::bf16, cache.head_dim), at, lane)};
}

template <KvFormat kFormat>
__device__ __forceinline__ void store_survivor(const CacheView& cache,
                                               std::byte* page,
                                               int place,
                                               const TokenPart& token,
                                               int lane,
                                               bool is_in_head) {
  const int head_dim = cache.head_dim;
  store_side<kFormat>(
      side_place(page, kFormat, head_dim, place, false), token.key, lane, is_in_head);
  store_side<kFormat>(
      side_place(page, kFormat, head_dim, place, true), token.value, lane, is_in_head);
}

// --- decode: a warp a head ------------------------------------------------------------------

/// A fresh page for a head's entries from `count` on, which begin a page. kNoPage: there is none.
__device__ __forceinline__ uint32_t fresh_page(const CacheView& cache,
                                               int64_t head,
                                               int32_t count,
                                               int lane) {
  uint32_t page = kNoPage;
  if (lane == 0) {
    uint32_t first = 0;
    if (count / kPageTokens >= cache.max_pages) {
      *cache.free.shortage = 1;
    } else if (take_pages(cache.free, 1, first) == 1) {
      page = page_number(cache.free, first);
      cache.survivor_table[head * cache.max_pages + count / kPageTokens] = page;
    }
  }
  return __shfl_sync(kAllLanes, page, 0);
}

__device__ __forceinline__ int32_t exact_begin(const SlotView& slots, int32_t slot) {
  const int64_t exact = int64_t{slots.window[slot]} + slots.slack[slot];
  return static_cast<int32_t>(max(int64_t{0}, slots.tokens[slot] - exact));
}

template <KvFormat kFormat>
__global__ void __launch_bounds__(kThreads) seal_windows_kernel(const SealParams params) {
  const CacheView& cache = params.cache;
  const int lane = static_cast<int>(threadIdx.x) % kWarpLanes;
  const int heads = cache.layers * cache.kv_heads;  // of a slot
  const int index = static_cast<int>(blockIdx.x * kWarps + threadIdx.x / kWarpLanes);
  if (index >= params.rows.decode_rows * heads) return;
  const int32_t slot = params.rows.slots[index / heads];
  const int64_t head = static_cast<int64_t>(slot) * heads + index % heads;
  const int32_t begin = params.slots.sealed_end[slot];
  const int32_t end = exact_begin(params.slots, slot);
  if (begin >= end) return;
  const bool is_in_head = lane * kLaneChannels < cache.head_dim;
  const uint32_t* fates = cache.fates + head * cache.fate_words;
  const int32_t before = cache.survivors[head];
  int32_t count = before;
  uint32_t page = 0;
  if (count % kPageTokens != 0) {
    page = cache.survivor_table[head * cache.max_pages + count / kPageTokens];
  }
  for (int32_t word = begin / 32; word * 32 < end && page != kNoPage; ++word) {
    for (uint32_t kept = kept_word(fates, word, begin, end); kept != 0; kept &= kept - 1) {
      if (count % kPageTokens == 0) page = fresh_page(cache, head, count, lane);
      if (page == kNoPage) break;
      const int32_t token = word * 32 + __ffs(static_cast<int>(kept)) - 1;
      const TokenPart part = load_from_window(cache, head, token, lane, is_in_head);
      store_survivor<kFormat>(
          cache, page_at(cache, page), count % kPageTokens, part, lane, is_in_head);
      ++count;
    }
  }
  __syncwarp();  // all lanes have read what it was
  if (lane == 0 && count != before) cache.survivors[head] = count;
}

/// After all heads have read the old ends.
__global__ void __launch_bounds__(kThreads) move_ends_kernel(const SealParams params) {
  const auto row = static_cast<int32_t>(blockIdx.x * kThreads + threadIdx.x);
  if (row >= params.rows.decode_rows) return;
  const int32_t slot = params.rows.slots[row];
  params.slots.sealed_end[slot] =
      max(params.slots.sealed_end[slot], exact_begin(params.slots, slot));
}

__global__ void __launch_bounds__(kThreads) finish_decode_kernel(const SealParams params) {
  const auto row = static_cast<int32_t>(blockIdx.x * kThreads + threadIdx.x);
  if (row < params.rows.decode_rows) atomicAdd(params.slots.tokens + params.rows.slots[row], 1);
}

// --- a chunk: pages, then survivors, then the window ------------------------------------------

struct ChunkHead {
  int64_t head = 0;
  int32_t kv_head = 0;
  const uint32_t* fates = nullptr;
  uint32_t* table = nullptr;  // [max_pages]
};

__device__ __forceinline__ ChunkHead chunk_head(const SealChunkParams& params, int32_t kv_head) {
  const CacheView& cache = params.cache;
  const int64_t head = head_index(cache, params.slot, params.layer, kv_head);
  return {.head = head,
          .kv_head = kv_head,
          .fates = cache.fates + head * cache.fate_words,
          .table = cache.survivor_table + head * cache.max_pages};
}

/// Kept tokens of [old_sealed_end, end); by a whole block of one call.
__device__ __forceinline__ int32_t kept_before(const SealChunkParams& params,
                                               const ChunkHead& head,
                                               int32_t end) {
  __shared__ int32_t sums[kWarps];
  const int32_t begin = params.old_sealed_end;
  int32_t kept = 0;
  for (int32_t word = begin / 32 + static_cast<int32_t>(threadIdx.x); word * 32 < end;
       word += kThreads) {
    kept += __popc(kept_word(head.fates, word, begin, end));
  }
  kept = warp_sum(kept);
  if (threadIdx.x % kWarpLanes == 0) sums[threadIdx.x / kWarpLanes] = kept;
  __syncthreads();
  int32_t total = 0;
#pragma unroll
  for (int w = 0; w < kWarps; ++w) total += sums[w];
  return total;
}

__device__ __forceinline__ int32_t pages_of(int32_t entries) {
  return (entries + kPageTokens - 1) / kPageTokens;
}

/// Pages for the entries to come, into the head's table.
__global__ void __launch_bounds__(kThreads) take_pages_kernel(const SealChunkParams params) {
  __shared__ uint32_t first;
  __shared__ uint32_t got;
  const CacheView& cache = params.cache;
  const ChunkHead head = chunk_head(params, static_cast<int32_t>(blockIdx.x));
  const int32_t before = cache.survivors[head.head];
  const int32_t after = before + kept_before(params, head, params.sealed_end);
  const int32_t begin = pages_of(before);
  const int32_t end = min(pages_of(after), cache.max_pages);
  if (threadIdx.x == 0) {
    first = 0;
    got = end > begin ? take_pages(cache.free, static_cast<uint32_t>(end - begin), first) : 0u;
    if (pages_of(after) > cache.max_pages) *cache.free.shortage = 1;
  }
  __syncthreads();
  for (int32_t i = static_cast<int32_t>(threadIdx.x); i < end - begin; i += kThreads) {
    const auto index = static_cast<uint32_t>(i);
    head.table[begin + i] = index < got ? page_number(cache.free, first + index) : kNoPage;
  }
}

__device__ __forceinline__ TokenPart load_exact(const SealChunkParams& params,
                                                const ChunkHead& head,
                                                int32_t token,
                                                int lane,
                                                bool is_in_head) {
  const CacheView& cache = params.cache;
  if (token < params.first) return load_from_window(cache, head.head, token, lane, is_in_head);
  if (!is_in_head) return {};
  const int64_t row = static_cast<int64_t>(token - params.first) * cache.kv_heads + head.kv_head;
  const int64_t at = row * cache.head_dim * 2;
  return {load_part(params.keys, at, lane), load_part(params.values, at, lane)};
}

/// A block has one word of a head's fates: 32 tokens.
template <KvFormat kFormat>
__global__ void __launch_bounds__(kThreads) seal_tokens_kernel(const SealChunkParams params) {
  const CacheView& cache = params.cache;
  const ChunkHead head = chunk_head(params, static_cast<int32_t>(blockIdx.y));
  const int32_t word = params.old_sealed_end / 32 + static_cast<int32_t>(blockIdx.x);
  const int32_t first_entry =
      cache.survivors[head.head] + kept_before(params, head, min(word * 32, params.sealed_end));
  const uint32_t kept = kept_word(head.fates, word, params.old_sealed_end, params.sealed_end);
  const int lane = static_cast<int>(threadIdx.x) % kWarpLanes;
  const bool is_in_head = lane * kLaneChannels < cache.head_dim;
  for (int place = static_cast<int>(threadIdx.x) / kWarpLanes; place < 32; place += kWarps) {
    if ((kept >> place & 1u) == 0) continue;
    const int32_t entry = first_entry + __popc(kept & ((1u << place) - 1));
    if (entry / kPageTokens >= cache.max_pages) return;
    const uint32_t page = head.table[entry / kPageTokens];
    if (page == kNoPage) return;
    const TokenPart part = load_exact(params, head, word * 32 + place, lane, is_in_head);
    store_survivor<kFormat>(
        cache, page_at(cache, page), entry % kPageTokens, part, lane, is_in_head);
  }
}

/// A head's count moves to what has a page: a table's pages that are there come before those that
/// are not. By a whole block.
__device__ __forceinline__ void move_count(const CacheView& cache,
                                           const ChunkHead& head,
                                           int32_t kept) {
  const int32_t before = cache.survivors[head.head];
  int32_t after = before + kept;
  const int32_t end = min(pages_of(after), cache.max_pages);
  after = min(after, cache.max_pages * kPageTokens);
  int32_t page = pages_of(before);  // the first one that is not there
  for (int there = kThreads; there == kThreads;) {
    const int32_t own = page + static_cast<int32_t>(threadIdx.x);
    there = __syncthreads_count(own < end && head.table[own] != kNoPage);
    page += there;
  }
  if (threadIdx.x != 0) return;
  if (page < end) after = page * kPageTokens;
  cache.survivors[head.head] = after;
}

/// The chunk's exact tokens, 16 bytes of one side a thread; only now, because the ring's places may
/// have held tokens that were sealed.
__global__ void __launch_bounds__(kThreads) fill_window_kernel(const SealChunkParams params) {
  const CacheView& cache = params.cache;
  const ChunkHead head = chunk_head(params, static_cast<int32_t>(blockIdx.y));
  if (blockIdx.x == 0 && params.sealed_end > params.old_sealed_end) {
    move_count(cache, head, kept_before(params, head, params.sealed_end));
  }
  const int32_t begin = max(params.first, params.sealed_end);
  const int vectors = cache.head_dim / 8;  // of a side
  const auto index = static_cast<int32_t>(blockIdx.x * kThreads + threadIdx.x);
  const int32_t token = begin + index / (2 * vectors);
  if (token >= params.first + params.count) return;
  const bool is_value = index / vectors % 2 != 0;
  const int vector = index % vectors;
  const int64_t row = static_cast<int64_t>(token - params.first) * cache.kv_heads + head.kv_head;
  const __nv_bfloat16* from = (is_value ? params.values : params.keys) + row * cache.head_dim;
  std::byte* side = window_page(cache, head.head, token) +
                    (is_value ? side_bytes(KvFormat::bf16, cache.head_dim) : 0);
  reinterpret_cast<uint4*>(side + token % kPageTokens * cache.head_dim * 2)[vector] =
      reinterpret_cast<const uint4*>(from)[vector];
}

__global__ void __launch_bounds__(1) finish_chunk_kernel(int32_t* tokens_of,
                                                         int32_t* sealed_end_of,
                                                         int32_t tokens,
                                                         int32_t sealed_end) {
  *tokens_of = tokens;
  *sealed_end_of = sealed_end;
}

// --- launches -----------------------------------------------------------------------------------

unsigned blocks_for(int64_t items, int64_t items_a_block) {
  return static_cast<unsigned>((items + items_a_block - 1) / items_a_block);
}

bool is_valid(const CacheView& cache) {
  return cache.head_dim % 8 == 0 && cache.head_dim <= kWarpLanes * kLaneChannels;
}

template <KvFormat kFormat>
cudaError_t launch_seal_windows(const SealParams& params, cudaStream_t stream) {
  const int64_t heads =
      static_cast<int64_t>(params.rows.decode_rows) * params.cache.layers * params.cache.kv_heads;
  seal_windows_kernel<kFormat><<<blocks_for(heads, kWarps), kThreads, 0, stream>>>(params);
  if (const cudaError_t error = cudaGetLastError(); error != cudaSuccess) return error;
  move_ends_kernel<<<blocks_for(params.rows.decode_rows, kThreads), kThreads, 0, stream>>>(params);
  return cudaGetLastError();
}

template <KvFormat kFormat>
cudaError_t launch_seal_tokens(const SealChunkParams& params, cudaStream_t stream) {
  const auto heads = static_cast<unsigned>(params.cache.kv_heads);
  take_pages_kernel<<<heads, kThreads, 0, stream>>>(params);
  if (const cudaError_t error = cudaGetLastError(); error != cudaSuccess) return error;
  const int32_t words = (params.sealed_end - 1) / 32 - params.old_sealed_end / 32 + 1;
  seal_tokens_kernel<kFormat>
      <<<dim3(static_cast<unsigned>(words), heads), kThreads, 0, stream>>>(params);
  return cudaGetLastError();
}

cudaError_t seal_tokens(const SealChunkParams& params, cudaStream_t stream) {
  switch (params.cache.survivor_format) {
    case KvFormat::bf16:
      return launch_seal_tokens<KvFormat::bf16>(params, stream);
    case KvFormat::fp8:
      return launch_seal_tokens<KvFormat::fp8>(params, stream);
    case KvFormat::int8:
      return launch_seal_tokens<KvFormat::int8>(params, stream);
  }
  return cudaErrorInvalidValue;
}

}  // namespace

cudaError_t seal_windows(const SealParams& params, cudaStream_t stream) {
  if (!is_valid(params.cache)) return cudaErrorInvalidValue;
  if (params.rows.decode_rows == 0) return cudaSuccess;
  switch (params.cache.survivor_format) {
    case KvFormat::bf16:
      return launch_seal_windows<KvFormat::bf16>(params, stream);
    case KvFormat::fp8:
      return launch_seal_windows<KvFormat::fp8>(params, stream);
    case KvFormat::int8:
      return launch_seal_windows<KvFormat::int8>(params, stream);
  }
  return cudaErrorInvalidValue;
}

cudaError_t seal_chunk(const SealChunkParams& params, cudaStream_t stream) {
  if (!is_valid(params.cache)) return cudaErrorInvalidValue;
  if (params.count == 0) return cudaSuccess;
  const bool seals = params.sealed_end > params.old_sealed_end;
  if (seals) {
    if (const cudaError_t error = seal_tokens(params, stream); error != cudaSuccess) return error;
  }
  const int32_t begin = params.first > params.sealed_end ? params.first : params.sealed_end;
  const int64_t vectors =
      static_cast<int64_t>(params.first + params.count - begin) * (params.cache.head_dim / 8) * 2;
  if (vectors <= 0 && !seals) return cudaSuccess;
  const unsigned blocks = vectors <= 0 ? 1 : blocks_for(vectors, kThreads);
  fill_window_kernel<<<dim3(blocks, static_cast<unsigned>(params.cache.kv_heads)),
                       kThreads,
                       0,
                       stream>>>(params);
  return cudaGetLastError();
}

cudaError_t finish_decode(const SealParams& params, cudaStream_t stream) {
  if (params.rows.decode_rows == 0) return cudaSuccess;
  finish_decode_kernel<<<blocks_for(params.rows.decode_rows, kThreads), kThreads, 0, stream>>>(
      params);
  return cudaGetLastError();
}

cudaError_t finish_chunk(
    const SlotView& slots, int32_t slot, int32_t tokens, int32_t sealed_end, cudaStream_t stream) {
  finish_chunk_kernel<<<1, 1, 0, stream>>>(
      slots.tokens + slot, slots.sealed_end + slot, tokens, sealed_end);
  return cudaGetLastError();
}

}  // namespace dms::cuda
