#pragma once
// A whole prompt through one layer's attention: chunk by chunk, attending and then sealing, as the
// model does.

#include <cstdint>
#include <vector>

#include "bench.h"
#include "bench_cache.h"
#include "cuda/kernels/prefill_attention.h"
#include "shapes.h"

namespace dms::bench {

struct PromptRequest {
  int32_t tokens = 0;
  int32_t chunk = 0;
  double keep = 1.0;
  cuda::KvFormat format = cuda::KvFormat::bf16;
};

class Prompt {
 public:
  Prompt(const BenchShape& shape, const PromptRequest& request, Bench& bench);

  /// Before each attend_all(): nothing is sealed yet.
  cudaError_t restore(cudaStream_t stream) const { return cache_.restore(stream); }
  cudaError_t attend_all(cudaStream_t stream) const;
  /// The same, each chunk's attention between events; attention_milliseconds() has their sum for
  /// each such call since the last time.
  cudaError_t attend_all_timed(cudaStream_t stream) const;
  std::vector<double> attention_milliseconds() const;
  /// Which attention the device has.
  const char* kernel() const { return hopper_ ? "sm90" : "sm80"; }

 private:
  cudaError_t attend_all(cuda::AttendPrompt attend, cudaStream_t stream) const;
  int32_t sealed_before(int32_t tokens) const;
  cuda::PrefillAttentionParams attention(int32_t first) const;

  BenchShape shape_;
  PromptRequest request_;
  bool hopper_;
  BenchCache cache_;
  cuda::DeviceBuffer queries_, out_, keys_, values_, workspace_;
};

}  // namespace dms::bench
