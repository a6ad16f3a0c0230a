#include "cuda/kernels/paging.h"

namespace dms::cuda {
namespace {

constexpr int kThreads = 128;

__global__ void __launch_bounds__(kThreads) copy_pages_kernel(CopyPagesParams params) {
  const int64_t from = static_cast<int64_t>(params.from_pages[blockIdx.x]) * kPageUnit;
  const int64_t to = static_cast<int64_t>(params.to_pages[blockIdx.x]) * kPageUnit;
  const auto* source = reinterpret_cast<const uint4*>(params.from + from);
  auto* target = reinterpret_cast<uint4*>(params.to + to);
  const int vectors = params.bytes / static_cast<int>(sizeof(uint4));
  for (int i = static_cast<int>(threadIdx.x); i < vectors; i += kThreads) target[i] = source[i];
}

__global__ void __launch_bounds__(kThreads) copy_table_kernel(CopyTableParams params) {
  const int64_t row = blockIdx.x;
  const uint32_t* from = params.from + row * params.from_stride;
  uint32_t* to = params.to + row * params.to_stride;
  for (int i = static_cast<int>(threadIdx.x); i < params.columns; i += kThreads) to[i] = from[i];
}

/// One block a head.
__global__ void __launch_bounds__(kThreads)
    clear_fates_kernel(CacheView cache, int32_t slot, int32_t first, int32_t end) {
  uint32_t* fates = cache.fates + (head_index(cache, slot, 0, 0) + blockIdx.x) * cache.fate_words;
  const int last = (end - 1) / 32;
  for (int word = first / 32 + static_cast<int>(threadIdx.x); word <= last; word += kThreads) {
    uint32_t gone = 0xffff'ffffu;
    if (word == first / 32) gone &= 0xffff'ffffu << (first % 32);
    if (word == last) gone &= 0xffff'ffffu >> (31 - (end - 1) % 32);
    fates[word] &= ~gone;
  }
}

__global__ void __launch_bounds__(kThreads) advance_rows_kernel(AdvanceParams params) {
  const int32_t step = *params.step;
  for (int row = static_cast<int>(threadIdx.x); row < params.rows; row += kThreads) {
    const int32_t chosen = params.chosen[row];
    params.record[step * params.rows + row] = chosen;
    // Where nothing could be chosen the record says so; the next step needs some token.
    params.tokens[row] = chosen < 0 ? 0 : chosen;
    ++params.positions[row];
  }
  __syncthreads();
  if (threadIdx.x == 0) *params.step = step + 1;
}

}  // namespace

cudaError_t copy_pages(const CopyPagesParams& params, cudaStream_t stream) {
  if (params.pages == 0) return cudaSuccess;
  copy_pages_kernel<<<static_cast<unsigned>(params.pages), kThreads, 0, stream>>>(params);
  return cudaGetLastError();
}

cudaError_t copy_table(const CopyTableParams& params, cudaStream_t stream) {
  if (params.rows == 0 || params.columns == 0) return cudaSuccess;
  copy_table_kernel<<<static_cast<unsigned>(params.rows), kThreads, 0, stream>>>(params);
  return cudaGetLastError();
}

cudaError_t clear_fates(
    const CacheView& cache, int32_t slot, int32_t first, int32_t end, cudaStream_t stream) {
  if (first >= end) return cudaSuccess;
  const auto heads = static_cast<unsigned>(cache.layers * cache.kv_heads);
  clear_fates_kernel<<<heads, kThreads, 0, stream>>>(cache, slot, first, end);
  return cudaGetLastError();
}

cudaError_t advance_rows(const AdvanceParams& params, cudaStream_t stream) {
  if (params.rows == 0) return cudaSuccess;
  advance_rows_kernel<<<1, kThreads, 0, stream>>>(params);
  return cudaGetLastError();
}

}  // namespace dms::cuda
