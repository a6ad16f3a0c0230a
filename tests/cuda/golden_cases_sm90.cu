#include "cuda/kernels/hopper.cuh"
#include "cuda/kernels/ptx.cuh"
#include "golden_cases.h"
#include "golden_words.h"

namespace dms::testing_support {
namespace {

constexpr int kTileRows = 64;
constexpr int kTileColumns = 64;  // bf16: 128 bytes, a swizzled row
constexpr int kTileBytes = kTileRows * kTileColumns * 2;
constexpr int kTileWords = kTileBytes / 4;
constexpr int kWarpgroup = 128;

/// A map of `rows` rows of `columns` bf16, in boxes of `box_columns` by kTileRows.
cudaError_t make_map(CUtensorMap& map,
                     const uint32_t* data,
                     int columns,
                     int rows,
                     int box_columns,
                     CUtensorMapSwizzle swizzle) {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found{};
  const cudaError_t status = cudaGetDriverEntryPointByVersion(
      "cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &found);
  if (status != cudaSuccess) return status;
  if (function == nullptr) return cudaErrorNotSupported;
  const cuuint64_t sizes[2] = {static_cast<cuuint64_t>(columns), static_cast<cuuint64_t>(rows)};
  const cuuint64_t strides[1] = {static_cast<cuuint64_t>(columns) * 2};
  const cuuint32_t box[2] = {static_cast<cuuint32_t>(box_columns), kTileRows};
  const cuuint32_t steps[2] = {1, 1};
  const auto encode = reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(function);
  const CUresult encoded = encode(&map,
                                  CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
                                  2,
                                  const_cast<uint32_t*>(data),
                                  sizes,
                                  strides,
                                  box,
                                  steps,
                                  CU_TENSOR_MAP_INTERLEAVE_NONE,
                                  swizzle,
                                  CU_TENSOR_MAP_L2_PROMOTION_NONE,
                                  CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return encoded == CUDA_SUCCESS ? cudaSuccess : cudaErrorInvalidValue;
}

/// One thread has `count` boxes, one below the other, copied to shared memory; all wait for them.
__device__ __forceinline__ void load_boxes(
    uint64_t* barrier, uint32_t* to, const CUtensorMap& map, int first_row, int count, int bytes) {
  const uint32_t place = cuda::shared_address(barrier);
  if (threadIdx.x == 0) {
    cuda::init_barrier(place, 1);
    cuda::fence_barrier_init();
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    cuda::arrive_expecting(place, count * bytes);
    for (int i = 0; i < count; ++i) {
      const uint32_t box = cuda::shared_address(to) + static_cast<uint32_t>(i * bytes);
      cuda::copy_box(box, map, 0, first_row + i * kTileRows, place);
    }
  }
  cuda::wait_for_phase(place, 0);
}

/// Rows 10 to 73 of 70, as they come to lie in shared memory.
__global__ void __launch_bounds__(kWarpgroup)
    tma_kernel(const __grid_constant__ CUtensorMap map, int bytes, uint32_t* out) {
  __shared__ __align__(1024) uint32_t tile[kTileWords];
  __shared__ __align__(8) uint64_t barrier;
  load_boxes(&barrier, tile, map, 10, 1, bytes);
  for (int i = static_cast<int>(threadIdx.x); i < bytes / 4; i += kWarpgroup) out[i] = tile[i];
}

constexpr int kTensorRows = 70;

template <CUtensorMapSwizzle kSwizzle, int kColumns>
cudaError_t launch_tma(const uint32_t* in, uint32_t* out, cudaStream_t stream) {
  CUtensorMap map{};
  const cudaError_t status = make_map(map, in, kTileColumns, kTensorRows, kColumns, kSwizzle);
  if (status != cudaSuccess) return status;
  tma_kernel<<<1, kWarpgroup, 0, stream>>>(map, kColumns * kTileRows * 2, out);
  return cudaGetLastError();
}

/// a [64, 64] b [128, 64]^T, both swizzled in shared memory, in four products of depth 16.
__global__ void __launch_bounds__(kWarpgroup)
    wgmma_kernel(const __grid_constant__ CUtensorMap map, uint32_t* out) {
  __shared__ __align__(1024) uint32_t tiles[3 * kTileWords];
  __shared__ __align__(8) uint64_t barrier;
  load_boxes(&barrier, tiles, map, 0, 3, kTileBytes);
  float sum[64] = {};
  cuda::begin_products();
#pragma unroll
  for (int depth = 0; depth < 4; ++depth) {
    const uint32_t a = cuda::shared_address(tiles) + static_cast<uint32_t>(depth * 32);
    cuda::multiply_64x128(sum, cuda::operand(a), cuda::operand(a + kTileBytes), depth > 0);
  }
  cuda::commit_products();
  cuda::wait_for_products<0>();
#pragma unroll
  for (int i = 0; i < 64; ++i) {
    out[i * kWarpgroup + static_cast<int>(threadIdx.x)] = __float_as_uint(sum[i]);
  }
}

cudaError_t launch_wgmma(const uint32_t* in, uint32_t* out, cudaStream_t stream) {
  CUtensorMap map{};
  const cudaError_t status =
      make_map(map, in, kTileColumns, 3 * kTileRows, kTileColumns, CU_TENSOR_MAP_SWIZZLE_128B);
  if (status != cudaSuccess) return status;
  wgmma_kernel<<<1, kWarpgroup, 0, stream>>>(map, out);
  return cudaGetLastError();
}

/// a [64, 64], in registers, by b [64, kColumns], whose contiguous side is not the depth: column
/// blocks of 64 lie one after another. Words of a: [4 products, 4, 128].
template <int kColumns>
__global__ void __launch_bounds__(kWarpgroup)
    wgmma_registers_kernel(const __grid_constant__ CUtensorMap map,
                           const uint32_t* a,
                           uint32_t* out) {
  constexpr int kBlocks = kColumns / kTileColumns;
  __shared__ __align__(1024) uint32_t tiles[kBlocks * kTileWords];
  __shared__ __align__(8) uint64_t barrier;
  load_boxes(&barrier, tiles, map, 0, kBlocks, kTileBytes);
  const int thread = static_cast<int>(threadIdx.x);
  uint32_t left[4][4];
  float sum[kColumns / 2];
#pragma unroll
  for (int depth = 0; depth < 4; ++depth) {
#pragma unroll
    for (int i = 0; i < 4; ++i) left[depth][i] = a[(depth * 4 + i) * kWarpgroup + thread];
  }
#pragma unroll
  for (int i = 0; i < kColumns / 2; ++i) sum[i] = 0.0f;
  cuda::begin_products();
#pragma unroll
  for (int depth = 0; depth < 4; ++depth) {
    const uint32_t b = cuda::shared_address(tiles) + static_cast<uint32_t>(depth * 16 * 128);
    if constexpr (kColumns == 128) {
      cuda::multiply_add_64x128(sum, left[depth], cuda::operand(b, kTileBytes));
    } else {
      cuda::multiply_add_64x64(sum, left[depth], cuda::operand(b, kTileBytes));
    }
  }
  cuda::commit_products();
  cuda::wait_for_products<0>();
#pragma unroll
  for (int i = 0; i < kColumns / 2; ++i) out[i * kWarpgroup + thread] = __float_as_uint(sum[i]);
}

template <int kColumns>
cudaError_t launch_wgmma_registers(const uint32_t* in, uint32_t* out, cudaStream_t stream) {
  constexpr int kRows = kColumns / kTileColumns * kTileRows;
  CUtensorMap map{};
  const cudaError_t status =
      make_map(map, in, kTileColumns, kRows, kTileColumns, CU_TENSOR_MAP_SWIZZLE_128B);
  if (status != cudaSuccess) return status;
  wgmma_registers_kernel<kColumns>
      <<<1, kWarpgroup, 0, stream>>>(map, in + kRows * kTileColumns / 2, out);
  return cudaGetLastError();
}

GoldenCase tma_case(GoldenWords& words,
                    const char* name,
                    int columns,
                    cudaError_t (*launch)(const uint32_t*, uint32_t*, cudaStream_t)) {
  return {.name = name,
          .capability = 90,
          .input = words.any(kTensorRows * kTileColumns / 2),
          .output_words = static_cast<size_t>(columns * kTileRows / 2),
          .launch = launch};
}

GoldenCase wgmma_case(GoldenWords& words,
                      const char* name,
                      int input_words,
                      int columns,
                      cudaError_t (*launch)(const uint32_t*, uint32_t*, cudaStream_t)) {
  // 64 products of at most 1/16 each: sums are below 4, and kept to 22 bits or more.
  return {.name = name,
          .capability = 90,
          .match = GoldenMatch::floats,
          .tolerance = 0x1p-18,
          .input = words.bf16_pairs(input_words, 0.25f, 6),
          .output_words = static_cast<size_t>(columns / 2 * kWarpgroup),
          .launch = launch};
}

}  // namespace

void add_golden_cases_sm90(std::vector<GoldenCase>& cases) {
  GoldenWords words(2);
  cases.push_back(tma_case(words, "tma_plain", 64, launch_tma<CU_TENSOR_MAP_SWIZZLE_NONE, 64>));
  cases.push_back(tma_case(words, "tma_swizzle_32", 16, launch_tma<CU_TENSOR_MAP_SWIZZLE_32B, 16>));
  cases.push_back(tma_case(words, "tma_swizzle_64", 32, launch_tma<CU_TENSOR_MAP_SWIZZLE_64B, 32>));
  cases.push_back(
      tma_case(words, "tma_swizzle_128", 64, launch_tma<CU_TENSOR_MAP_SWIZZLE_128B, 64>));
  cases.push_back(wgmma_case(words, "wgmma_64x128", 3 * kTileWords, 128, launch_wgmma));
  cases.push_back(wgmma_case(words,
                             "wgmma_registers_64x128",
                             2 * kTileWords + 16 * kWarpgroup,
                             128,
                             launch_wgmma_registers<128>));
  cases.push_back(wgmma_case(words,
                             "wgmma_registers_64x64",
                             kTileWords + 16 * kWarpgroup,
                             64,
                             launch_wgmma_registers<64>));
}

}  // namespace dms::testing_support
