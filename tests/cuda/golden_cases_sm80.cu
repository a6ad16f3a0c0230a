
#include <cuda_fp8.h>

#include "cuda/kernels/ptx.cuh"
#include "golden_cases.h"
#include "golden_words.h"

namespace dms::testing_support {
namespace {

constexpr int kLanes = 32;

/// One warp's product of a [16, 16] by b [16, 8]: words of a [4, 32], of b [2, 32], sums [4, 32].
__global__ void __launch_bounds__(kLanes) mma_kernel(const uint32_t* in, uint32_t* out) {
  const int lane = static_cast<int>(threadIdx.x);
  uint32_t a[4];
  uint32_t b[2];
  float sum[4];
  for (int i = 0; i < 4; ++i) a[i] = in[i * kLanes + lane];
  for (int i = 0; i < 2; ++i) b[i] = in[(4 + i) * kLanes + lane];
  for (int i = 0; i < 4; ++i) sum[i] = __uint_as_float(in[(6 + i) * kLanes + lane]);
  cuda::multiply_add(sum, a, b[0], b[1]);
  for (int i = 0; i < 4; ++i) out[i * kLanes + lane] = __float_as_uint(sum[i]);
}

cudaError_t launch_mma(const uint32_t* in, uint32_t* out, cudaStream_t stream) {
  mma_kernel<<<1, kLanes, 0, stream>>>(in, out);
  return cudaGetLastError();
}

/// Four 8x8 matrices of 16-bit numbers, row r of them all at 16 * r; lanes name rows backwards so
/// that address and place are told apart. Words [4, 32] as loaded, then transposed.
__global__ void __launch_bounds__(kLanes) ldmatrix_kernel(const uint32_t* in, uint32_t* out) {
  __shared__ __align__(16) uint32_t shared[128];
  const int lane = static_cast<int>(threadIdx.x);
  for (int i = lane; i < 128; i += kLanes) shared[i] = in[i];
  __syncwarp();
  const uint32_t row = cuda::shared_address(shared) + static_cast<uint32_t>(31 - lane) * 16;
  uint32_t plain[4];
  uint32_t turned[4];
  cuda::load_matrices(plain, row);
  cuda::load_matrices_transposed(turned, row);
  for (int i = 0; i < 4; ++i) {
    out[i * kLanes + lane] = plain[i];
    out[(4 + i) * kLanes + lane] = turned[i];
  }
}

cudaError_t launch_ldmatrix(const uint32_t* in, uint32_t* out, cudaStream_t stream) {
  ldmatrix_kernel<<<1, kLanes, 0, stream>>>(in, out);
  return cudaGetLastError();
}

/// 16 bytes a lane by asynchronous copies; every third lane's are zeros.
__global__ void __launch_bounds__(kLanes) copy_kernel(const uint32_t* in, uint32_t* out) {
  __shared__ __align__(16) uint32_t shared[128];
  const int lane = static_cast<int>(threadIdx.x);
  const uint32_t to = cuda::shared_address(shared) + static_cast<uint32_t>(lane) * 16;
  cuda::copy_async_16(to, in + 4 * lane, lane % 3 != 2);
  cuda::commit_copies();
  cuda::wait_for_copies<0>();
  __syncwarp();
  for (int i = lane; i < 128; i += kLanes) out[i] = shared[i];
}

cudaError_t launch_copy(const uint32_t* in, uint32_t* out, cudaStream_t stream) {
  copy_kernel<<<1, kLanes, 0, stream>>>(in, out);
  return cudaGetLastError();
}

constexpr int kNumbers = 1024;

/// float32 to bf16, and to E4M3 and back to float32.
__global__ void __launch_bounds__(kNumbers) round_kernel(const uint32_t* in, uint32_t* out) {
  const int i = static_cast<int>(threadIdx.x);
  const float x = __uint_as_float(in[i]);
  const __nv_fp8_e4m3 code(x);
  out[i] = __bfloat16_as_ushort(__float2bfloat16_rn(x)) | static_cast<uint32_t>(code.__x) << 16;
  out[kNumbers + i] = __float_as_uint(static_cast<float>(code));
}

cudaError_t launch_round(const uint32_t* in, uint32_t* out, cudaStream_t stream) {
  round_kernel<<<1, kNumbers, 0, stream>>>(in, out);
  return cudaGetLastError();
}

__global__ void __launch_bounds__(kNumbers) exp2_kernel(const uint32_t* in, uint32_t* out) {
  const int i = static_cast<int>(threadIdx.x);
  out[i] = __float_as_uint(cuda::exp2_approximate(__uint_as_float(in[i])));
}

cudaError_t launch_exp2(const uint32_t* in, uint32_t* out, cudaStream_t stream) {
  exp2_kernel<<<1, kNumbers, 0, stream>>>(in, out);
  return cudaGetLastError();
}

__global__ void __launch_bounds__(kNumbers) rsqrt_kernel(const uint32_t* in, uint32_t* out) {
  const int i = static_cast<int>(threadIdx.x);
  out[i] = __float_as_uint(rsqrtf(__uint_as_float(in[i])));
}

cudaError_t launch_rsqrt(const uint32_t* in, uint32_t* out, cudaStream_t stream) {
  rsqrt_kernel<<<1, kNumbers, 0, stream>>>(in, out);
  return cudaGetLastError();
}

}  // namespace

void add_golden_cases_sm80(std::vector<GoldenCase>& cases) {
  GoldenWords words(1);
  // Products of numbers of one size, then of sizes between 2^-12 and 1: how sums are aligned and
  // cut shows there. A tensor core keeps at least 24 bits of the largest term, here at most 1.
  for (const int sizes : {0, 12}) {
    std::vector<uint32_t> input = words.bf16_pairs(6 * kLanes, 0.25f, sizes);
    const std::vector<uint32_t> sums = words.floats(4 * kLanes, 0.25f, sizes);
    input.insert(input.end(), sums.begin(), sums.end());
    cases.push_back({.name = sizes == 0 ? "mma_m16n8k16" : "mma_m16n8k16_sizes",
                     .match = GoldenMatch::floats,
                     .tolerance = 0x1p-20,
                     .input = input,
                     .output_words = 4 * kLanes,
                     .launch = launch_mma});
  }
  cases.push_back({.name = "ldmatrix_x4",
                   .input = words.any(128),
                   .output_words = 8 * kLanes,
                   .launch = launch_ldmatrix});
  cases.push_back(
      {.name = "cp_async_16", .input = words.any(128), .output_words = 128, .launch = launch_copy});
  cases.push_back({.name = "round_bf16_e4m3",
                   .input = words.floats(kNumbers, 500.0f, 20),
                   .output_words = 2 * kNumbers,
                   .launch = launch_round});
  cases.push_back({.name = "ex2_approx",
                   .match = GoldenMatch::relative,
                   .tolerance = 0x1p-21,
                   .input = words.floats(kNumbers, 140.0f, 8),
                   .output_words = kNumbers,
                   .launch = launch_exp2});
  std::vector<uint32_t> positive = words.floats(kNumbers, 1e4f, 30);
  for (uint32_t& word : positive) word &= 0x7fffffffu;
  cases.push_back({.name = "rsqrt_approx",
                   .match = GoldenMatch::relative,
                   .tolerance = 0x1p-21,
                   .input = positive,
                   .output_words = kNumbers,
                   .launch = launch_rsqrt});
}

}  // namespace dms::testing_support
