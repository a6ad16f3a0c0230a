#include "launches.h"

namespace cuda_emulator {
namespace {

__device__ int variable;
__device__ unsigned finished_blocks;

__global__ void __launch_bounds__(128) add_kernel(int* values, int count, int add) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < count) values[i] += add;
}

__global__ void shared_kernel() {
  extern __shared__ int shared[];
  shared[threadIdx.x] = 1;
}

__global__ void __launch_bounds__(128) sum_kernel(const float* values, float* partial, float* out) {
  __shared__ float warps[4];
  __shared__ bool is_last;
  float value = values[blockIdx.x * 128 + threadIdx.x];
  for (int offset = 16; offset > 0; offset /= 2) value += __shfl_xor_sync(~0u, value, offset);
  if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = value;
  __syncthreads();
  if (threadIdx.x == 0) {
    partial[blockIdx.x] = warps[0] + warps[1] + warps[2] + warps[3];
    __threadfence();
    is_last = atomicAdd(&finished_blocks, 1) == gridDim.x - 1;
  }
  __syncthreads();
  if (!is_last || threadIdx.x != 0) return;
  float total = 0;
  for (unsigned i = 0; i < gridDim.x; i++) total += static_cast<volatile float*>(partial)[i];
  *out = total;
  finished_blocks = 0;
}

}  // namespace

cudaError_t add(int* values, int count, int add, cudaStream_t stream) {
  add_kernel<<<(count + 127) / 128, 128, 0, stream>>>(values, count, add);
  return cudaGetLastError();
}

cudaError_t use_shared(int bytes, bool declares) {
  if (declares) {
    const cudaError_t error =
        cudaFuncSetAttribute(shared_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
    if (error != cudaSuccess) return error;
  }
  shared_kernel<<<1, 32, bytes>>>();
  return cudaGetLastError();
}

cudaError_t launch_threads(int threads) {
  add_kernel<<<1, threads>>>(nullptr, 0, 0);
  return cudaGetLastError();
}

cudaError_t blocks_per_sm(int threads, int shared_bytes, int& blocks) {
  return cudaOccupancyMaxActiveBlocksPerMultiprocessor(
      &blocks, shared_kernel, threads, static_cast<size_t>(shared_bytes));
}

cudaError_t symbol_round_trip(int value, int& read_back) {
  void* address = nullptr;
  cudaError_t error = cudaGetSymbolAddress(&address, variable);
  if (error != cudaSuccess) return error;
  error = cudaMemcpyToSymbol(variable, &value, sizeof value);
  if (error != cudaSuccess) return error;
  add_kernel<<<1, 32>>>(static_cast<int*>(address), 1, 1);
  return cudaMemcpyFromSymbol(&read_back, variable, sizeof read_back);
}

cudaError_t sum(const float* values, int blocks, float* partial, float* out) {
  sum_kernel<<<blocks, 128>>>(values, partial, out);
  return cudaGetLastError();
}

}  // namespace cuda_emulator
