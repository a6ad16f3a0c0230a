#pragma once
// The next token of each row, chosen on the device: temperature, top-k, top-p and min-p mean what
// engine::Sampler's mean; draws come from a counter (Philox of seed, row's counter), so that a step
// needs no state of the host's.

#include <cstdint>

#include "cuda/kernels/device.h"

namespace dms::cuda {

/// Of one row, in device memory.
struct SamplingRow {
  float temperature = 0.0f;  // below 2^-128, as 0: the highest logit, the first of equal ones
  int32_t top_k = 0;         // 0: all
  float top_p = 1.0f;
  float min_p = 0.0f;  // above 1, as 1
  uint64_t seed = 0;
  uint64_t counter = 0;  // rises by one with each draw
};

struct SampleParams {
  const float* logits = nullptr;    // [rows, vocab]
  SamplingRow* settings = nullptr;  // [rows]
  int32_t* tokens = nullptr;        // [rows] the ids that were chosen; -1: a logit is NaN or +inf,
                                    // or all are -inf
  int32_t rows = 0;
  int32_t vocab = 0;
  void* workspace = nullptr;  // sample_workspace_bytes()
};

int64_t sample_workspace_bytes(int32_t rows, int32_t vocab);
cudaError_t sample(const SampleParams& params, cudaStream_t stream);

}  // namespace dms::cuda
