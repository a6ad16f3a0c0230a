#pragma once
// Kernels for tests of the runtime API.

#include <cuda_runtime_api.h>

namespace cuda_emulator {

/// values[i] += add, one thread each.
cudaError_t add(int* values, int count, int add, cudaStream_t stream);
/// Takes so much dynamic shared memory, whose use is declared to the runtime where `declares`.
cudaError_t use_shared(int bytes, bool declares);
cudaError_t launch_threads(int threads);  // of a kernel bounded to 128
cudaError_t blocks_per_sm(int threads, int shared_bytes, int& blocks);

/// Reads and writes through the address of a __device__ variable.
cudaError_t symbol_round_trip(int value, int& read_back);

/// Sums [blocks, 128] floats with one launch: the last block adds the others' sums.
cudaError_t sum(const float* values, int blocks, float* partial, float* out);

}  // namespace cuda_emulator
