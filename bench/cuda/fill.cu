#include "fill.h"

namespace dms::bench {
namespace {

constexpr int kThreads = 256;

unsigned blocks_of(int64_t count) {
  const int64_t blocks = (count + kThreads - 1) / kThreads;
  return static_cast<unsigned>(blocks < kMostBlocks ? blocks : kMostBlocks);
}

__device__ __forceinline__ int64_t first_index() {
  return static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
}
__device__ __forceinline__ int64_t stride() { return static_cast<int64_t>(gridDim.x) * kThreads; }

/// splitmix64's last steps.
__device__ __forceinline__ uint64_t hash(uint64_t seed, int64_t index) {
  uint64_t x = seed + static_cast<uint64_t>(index) * 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

__device__ __forceinline__ float even(uint64_t seed, int64_t index, float scale) {
  const float unit = static_cast<float>(hash(seed, index) >> 40) * 0x1p-24f;
  return scale * (2.0f * unit - 1.0f);
}

__global__ void __launch_bounds__(kThreads)
    fill_bf16_kernel(__nv_bfloat16* out, int64_t count, float scale, uint64_t seed) {
  for (int64_t i = first_index(); i < count; i += stride()) {
    out[i] = __float2bfloat16_rn(even(seed, i, scale));
  }
}

__global__ void __launch_bounds__(kThreads)
    fill_f32_kernel(float* out, int64_t count, float scale, uint64_t seed) {
  for (int64_t i = first_index(); i < count; i += stride()) out[i] = even(seed, i, scale);
}

__device__ __forceinline__ uint8_t code(uint64_t seed, int64_t index) {
  return static_cast<uint8_t>(hash(seed, index) & 0xbf);
}

__global__ void __launch_bounds__(kThreads)
    fill_codes_kernel(uint8_t* out, int64_t count, uint64_t seed) {
  for (int64_t i = first_index(); i < count; i += stride()) out[i] = code(seed, i);
}

__global__ void __launch_bounds__(kThreads)
    fill_fates_kernel(uint32_t* out, int64_t words, float keep, uint64_t seed) {
  for (int64_t i = first_index(); i < words; i += stride()) {
    uint32_t word = 0;
    for (int bit = 0; bit < 32; ++bit) {
      const float unit = 0.5f * (even(seed, 32 * i + bit, 1.0f) + 1.0f);
      word |= static_cast<uint32_t>(unit >= keep) << bit;
    }
    out[i] = word;
  }
}

__global__ void __launch_bounds__(kThreads) fill_pages_kernel(
    std::byte* out, int64_t pages, int page, int sides, bool codes, uint64_t seed) {
  const int units = page / 2;  // a page is written by twos, scales and bf16 being two bytes
  for (int64_t i = first_index(); i < pages * units; i += stride()) {
    const int place = static_cast<int>(i % units) * 2;
    uint16_t value = 0x3c80;  // a scale: 1/64
    if (place < sides) {
      const __nv_bfloat16 number = __float2bfloat16_rn(even(seed, i, 1.0f));
      const int low = code(seed, 2 * i);
      const int high = code(seed, 2 * i + 1);
      value = codes ? static_cast<uint16_t>(low | high << 8) : __bfloat16_as_ushort(number);
    }
    reinterpret_cast<uint16_t*>(out)[i] = value;
  }
}

__global__ void __launch_bounds__(kThreads)
    copy_kernel(uint4* out, const uint4* from, int64_t count) {
  for (int64_t i = first_index(); i < count; i += stride()) out[i] = from[i];
}

__global__ void __launch_bounds__(kThreads)
    read_kernel(uint32_t* out, const uint4* from, int64_t count) {
  uint32_t sum = 0;
  for (int64_t i = first_index(); i < count; i += stride()) {
    const uint4 four = from[i];
    sum ^= four.x ^ four.y ^ four.z ^ four.w;
  }
  sum = __reduce_xor_sync(0xffffffffu, sum);
  if (threadIdx.x == 0) out[blockIdx.x] = sum;
}

}  // namespace

cudaError_t fill_bf16(
    __nv_bfloat16* out, int64_t count, float scale, uint64_t seed, cudaStream_t stream) {
  fill_bf16_kernel<<<blocks_of(count), kThreads, 0, stream>>>(out, count, scale, seed);
  return cudaGetLastError();
}

cudaError_t fill_f32(float* out, int64_t count, float scale, uint64_t seed, cudaStream_t stream) {
  fill_f32_kernel<<<blocks_of(count), kThreads, 0, stream>>>(out, count, scale, seed);
  return cudaGetLastError();
}

cudaError_t fill_codes(uint8_t* out, int64_t count, uint64_t seed, cudaStream_t stream) {
  fill_codes_kernel<<<blocks_of(count), kThreads, 0, stream>>>(out, count, seed);
  return cudaGetLastError();
}

cudaError_t fill_fates(
    uint32_t* out, int64_t words, double keep, uint64_t seed, cudaStream_t stream) {
  const float share = static_cast<float>(keep);
  fill_fates_kernel<<<blocks_of(words), kThreads, 0, stream>>>(out, words, share, seed);
  return cudaGetLastError();
}

cudaError_t fill_pages(std::byte* out,
                       int64_t pages,
                       cuda::KvFormat format,
                       int32_t head_dim,
                       uint64_t seed,
                       cudaStream_t stream) {
  const int page = cuda::page_bytes(format, head_dim);
  const int sides = 2 * cuda::side_bytes(format, head_dim);
  const bool codes = format != cuda::KvFormat::bf16;
  fill_pages_kernel<<<blocks_of(pages * page / 2), kThreads, 0, stream>>>(
      out, pages, page, sides, codes, seed);
  return cudaGetLastError();
}

cudaError_t copy_bytes(std::byte* out, const std::byte* from, int64_t bytes, cudaStream_t stream) {
  const int64_t count = bytes / 16;
  copy_kernel<<<blocks_of(count), kThreads, 0, stream>>>(
      reinterpret_cast<uint4*>(out), reinterpret_cast<const uint4*>(from), count);
  return cudaGetLastError();
}

cudaError_t read_bytes(uint32_t* out, const std::byte* from, int64_t bytes, cudaStream_t stream) {
  const int64_t count = bytes / 16;
  read_kernel<<<blocks_of(count), kThreads, 0, stream>>>(
      out, reinterpret_cast<const uint4*>(from), count);
  return cudaGetLastError();
}

}  // namespace dms::bench
