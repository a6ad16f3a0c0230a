#pragma once
// Matrix products of bf16 weights on the host, for tests of what lies around them: the emulator
// takes far longer over the device's own, which have tests of their own. Waits for the device: not
// for graphs.

#include <functional>
#include <utility>
#include <vector>

#include "cuda/kernels/matmul.h"
#include "cuda/memory.h"

namespace dms::cuda {

class HostMatmul final : public Matmul {
 public:
  /// `fails`: asked before each product whether it fails.
  explicit HostMatmul(std::function<bool()> fails = {}) : fails_(std::move(fails)) {}

  cudaError_t run(const MatmulParams& params, cudaStream_t stream) override {
    if (fails_ && fails_()) return cudaErrorUnknown;
    check(cudaStreamSynchronize(stream), "a product on the host");
    const auto rows = static_cast<size_t>(params.rows);
    const auto columns = static_cast<size_t>(params.weights.columns);
    const auto outputs = static_cast<size_t>(params.weights.rows);
    const std::vector<float> x = floats(params.x, rows * columns);
    const std::vector<float> weights =
        floats(static_cast<const __nv_bfloat16*>(params.weights.data), outputs * columns);
    std::vector<float> out(rows * outputs, 0.0f);
    if (params.accumulate) copy(out.data(), params.out, out.size());
    for (size_t i = 0; i < out.size(); ++i) {
      const float* row = x.data() + i / outputs * columns;
      const float* weight = weights.data() + i % outputs * columns;
      float sum = 0;
      for (size_t c = 0; c < columns; ++c) sum += row[c] * weight[c];
      out[i] += sum;
    }
    if (params.out != nullptr) {
      copy(params.out, out.data(), out.size());
      return cudaSuccess;
    }
    std::vector<__nv_bfloat16> rounded;
    for (const float value : out) rounded.push_back(__float2bfloat16(value));
    copy(params.out_bf16, rounded.data(), rounded.size());
    return cudaSuccess;
  }

 private:
  template <class T>
  static void copy(T* to, const T* from, size_t count) {
    check(cudaMemcpy(to, from, count * sizeof(T), cudaMemcpyDefault), "a product on the host");
    check(cudaDeviceSynchronize(), "a product on the host");  // for other streams
  }
  static std::vector<float> floats(const __nv_bfloat16* from, size_t count) {
    std::vector<__nv_bfloat16> values(count);
    copy(values.data(), from, count);
    std::vector<float> wide;
    for (const __nv_bfloat16 value : values) wide.push_back(__bfloat162float(value));
    return wide;
  }

  std::function<bool()> fails_;
};

}  // namespace dms::cuda
