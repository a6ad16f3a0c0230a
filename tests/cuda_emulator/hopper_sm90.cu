#include <cstdint>

#include <cooperative_groups.h>
#include <cuda.h>
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include "hopper.h"

namespace cuda_emulator {
namespace {

namespace cg = cooperative_groups;

constexpr int kTileBytes = kTileRows * kTileDepth * 2;
constexpr int kColumnsPerStore = 32;  // float32: 128 bytes

__device__ __forceinline__ uint32_t shared_address(const void* pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}
__device__ __forceinline__ void tma_load(
    uint32_t target, const CUtensorMap* map, int x, int y, uint32_t barrier) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, "
      "%3}], [%4];" ::"r"(target),
      "l"(map),
      "r"(x),
      "r"(y),
      "r"(barrier)
      : "memory");
}
__device__ __forceinline__ void tma_store(const CUtensorMap* map, int x, int y, uint32_t source) {
  asm volatile(
      "cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [%0, {%1, %2}], [%3];" ::"l"(map),
      "r"(x),
      "r"(y),
      "r"(source)
      : "memory");
}
/// Of rows of 128 bytes, swizzled likewise, eight rows after another.
__device__ __forceinline__ uint64_t descriptor(uint32_t address) {
  return (address >> 4 & 0x3fff) | 1ull << 16 | static_cast<uint64_t>(1024 >> 4) << 32 | 1ull << 62;
}
__device__ __forceinline__ void wgmma_n64(float (&d)[32], uint64_t a, uint64_t b) {
  asm volatile(
      "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "
      "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,"
      "%25,%26,%27,%28,%29,%30,%31}, %32, %33, 1, 1, 1, 0, 0;"
      : "+f"(d[0]),
        "+f"(d[1]),
        "+f"(d[2]),
        "+f"(d[3]),
        "+f"(d[4]),
        "+f"(d[5]),
        "+f"(d[6]),
        "+f"(d[7]),
        "+f"(d[8]),
        "+f"(d[9]),
        "+f"(d[10]),
        "+f"(d[11]),
        "+f"(d[12]),
        "+f"(d[13]),
        "+f"(d[14]),
        "+f"(d[15]),
        "+f"(d[16]),
        "+f"(d[17]),
        "+f"(d[18]),
        "+f"(d[19]),
        "+f"(d[20]),
        "+f"(d[21]),
        "+f"(d[22]),
        "+f"(d[23]),
        "+f"(d[24]),
        "+f"(d[25]),
        "+f"(d[26]),
        "+f"(d[27]),
        "+f"(d[28]),
        "+f"(d[29]),
        "+f"(d[30]),
        "+f"(d[31])
      : "l"(a), "l"(b));
}

__global__ void __launch_bounds__(128) tile_kernel(const __grid_constant__ CUtensorMap a_map,
                                                   const __grid_constant__ CUtensorMap b_map,
                                                   const __grid_constant__ CUtensorMap out_map,
                                                   HopperFault fault) {
  __shared__ alignas(1024) unsigned char a[kTileBytes];
  __shared__ alignas(1024) unsigned char b[kTileBytes];
  __shared__ alignas(1024) float out[2][kTileRows * kColumnsPerStore];
  __shared__ uint64_t barrier;
  const uint32_t bar = shared_address(&barrier);
  if (threadIdx.x == 0) {
    asm volatile("mbarrier.init.shared.b64 [%0], 1; fence.mbarrier_init.release.cluster;" ::"r"(bar)
                 : "memory");
    const int bytes = fault == HopperFault::too_few_bytes ? kTileBytes : 2 * kTileBytes;
    asm volatile("{ .reg .b64 s; mbarrier.arrive.expect_tx.shared.b64 s, [%0], %1; }" ::"r"(bar),
                 "r"(bytes)
                 : "memory");
    tma_load(shared_address(a), &a_map, 0, 0, bar);
    tma_load(shared_address(b), &b_map, 0, 0, bar);
  }
  __syncthreads();
  asm volatile(
      "{ .reg .pred p;\n"
      "again: mbarrier.try_wait.parity.shared.b64 p, [%0], 0;\n"
      "@!p bra again; }" ::"r"(bar)
      : "memory");
  float d[32] = {};
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
  for (int k = 0; k < kTileDepth / 16; k++) {
    wgmma_n64(d, descriptor(shared_address(a) + 32 * k), descriptor(shared_address(b) + 32 * k));
  }
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
  if (fault == HopperFault::no_wait_for_wgmma) a[threadIdx.x * 16] ^= 1;
  asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  for (int i = 0; i < 32; i++) {
    const int row = 16 * warp + lane / 4 + 8 * (i / 2 % 2);
    const int column = 8 * (i / 4) + 2 * (lane % 4) + i % 2;
    out[column / kColumnsPerStore][row * kColumnsPerStore + column % kColumnsPerStore] = d[i];
  }
  if (fault != HopperFault::no_proxy_fence)
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  __syncthreads();
  if (threadIdx.x != 0) return;
  for (int half = 0; half < 2; half++) {
    tma_store(&out_map, half * kColumnsPerStore, 0, shared_address(out[half]));
  }
  asm volatile("cp.async.bulk.commit_group; cp.async.bulk.wait_group 0;" ::: "memory");
}

__global__ void __cluster_dims__(4, 1, 1) cluster_kernel(const int* in, int* out) {
  __shared__ int values[32];
  const auto cluster = cg::this_cluster();
  const int i = static_cast<int>(blockIdx.x * 32 + threadIdx.x);
  values[threadIdx.x] = in[i];
  cluster.sync();
  int sum = 0;
  for (unsigned rank = 0; rank < cluster.num_blocks(); rank++) {
    sum += *cluster.map_shared_rank(&values[threadIdx.x ^ 1], rank);
  }
  cluster.sync();
  out[i] = sum;
}

using Encode = decltype(&cuTensorMapEncodeTiled);

/// A map of [64, columns], loaded or stored 128 bytes a row.
cudaError_t make_map(
    CUtensorMap& map, void* data, bool is_float, int columns, CUtensorMapSwizzle swizzle) {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult result{};
  cudaError_t error = cudaGetDriverEntryPointByVersion(
      "cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &result);
  if (error != cudaSuccess) return error;
  const cuuint64_t element = is_float ? 4 : 2;
  const cuuint64_t dims[2] = {static_cast<cuuint64_t>(columns), kTileRows};
  const cuuint64_t strides[1] = {dims[0] * element};
  const cuuint32_t box[2] = {static_cast<cuuint32_t>(128 / element), kTileRows}, steps[2] = {1, 1};
  const CUresult made = reinterpret_cast<Encode>(function)(
      &map,
      is_float ? CU_TENSOR_MAP_DATA_TYPE_FLOAT32 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
      2,
      data,
      dims,
      strides,
      box,
      steps,
      CU_TENSOR_MAP_INTERLEAVE_NONE,
      swizzle,
      CU_TENSOR_MAP_L2_PROMOTION_NONE,
      CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return made == CUDA_SUCCESS ? cudaSuccess : cudaErrorInvalidValue;
}

}  // namespace

cudaError_t multiply_tile(const void* a, const void* b, float* out, HopperFault fault) {
  CUtensorMap maps[3];
  cudaError_t error =
      make_map(maps[0], const_cast<void*>(a), false, kTileDepth, CU_TENSOR_MAP_SWIZZLE_128B);
  if (error != cudaSuccess) return error;
  error = make_map(maps[1], const_cast<void*>(b), false, kTileDepth, CU_TENSOR_MAP_SWIZZLE_128B);
  if (error != cudaSuccess) return error;
  error = make_map(maps[2], out, true, kTileRows, CU_TENSOR_MAP_SWIZZLE_NONE);
  if (error != cudaSuccess) return error;
  tile_kernel<<<1, 128>>>(maps[0], maps[1], maps[2], fault);
  return cudaGetLastError();
}

cudaError_t sum_over_cluster(const int* in, int* out) {
  cluster_kernel<<<8, 32>>>(in, out);
  return cudaGetLastError();
}

}  // namespace cuda_emulator
