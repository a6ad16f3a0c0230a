#pragma once
// A small random model twice: on the CPU and on the device, of the same bf16 weights.

#include <functional>
#include <memory>
#include <utility>

#include "cpu/fingerprint.h"
#include "cpu/tiny_model.h"
#include "cuda/cuda_model.h"
#include "cuda/host_matmul.h"
#include "dms/error.h"

namespace dms::cuda {

/// Sizes that the device has kernels for, as small as they get.
inline ModelSpec tiny_cuda_spec(cpu::TinyShape shape = {}) {
  if (shape.head_dim < 64) shape.head_dim = 64;
  ModelSpec spec = cpu::tiny_spec(shape);
  spec.hidden = 64;
  spec.ffn = 96;
  spec.vocab = 96;
  spec.context = 512;
  spec.sliding_window.clear();
  return spec;
}

inline cpu::ResolvedModelOptions tiny_options() {
  return {.dtype = DType::bf16,
          .weight_format = kernels::WeightFormat::bf16,
          .compute = kernels::Compute::bf16,
          .max_step_tokens = 96,
          .max_sequences = 4};
}

struct DeviceTraits {
  int64_t kv_bytes = int64_t{8} << 20;
  cpu::ResolvedModelOptions options = tiny_options();
  bool multiplies_on_host = false;
  AttendPrompt attend_prompt = prefill_attention;
  std::function<bool()> fails{};  // as HostMatmul's
  MatrixFormat weight_format = MatrixFormat::bf16;
};

inline std::unique_ptr<CudaModel> tiny_cuda_model(const ModelSpec& spec,
                                                  const WeightSource& source,
                                                  DeviceTraits traits = {}) {
  const model::DecoderWeights weights =
      model::load_weights(spec, source, {.format = kernels::WeightFormat::bf16});
  const int64_t columns = std::max({spec.hidden, spec.ffn, spec.q_heads * spec.head_dim});
  const int64_t rows = traits.options.max_step_tokens + traits.options.max_sequences;
  std::unique_ptr<Matmul> matmul = std::make_unique<HostMatmul>(traits.fails);
  if (!traits.multiplies_on_host) {
    matmul = make_simple_matmul(static_cast<int32_t>(rows), static_cast<int32_t>(columns));
  }
  return std::make_unique<CudaModel>(spec,
                                     upload_weights(spec, weights, traits.weight_format),
                                     traits.options,
                                     CudaModelOptions{.kv_bytes = traits.kv_bytes,
                                                      .matmul = std::move(matmul),
                                                      .attend_prompt = traits.attend_prompt,
                                                      .uses_graphs = !traits.multiplies_on_host,
                                                      .weight_format = traits.weight_format,
                                                      .weight_sum = cpu::sum_of(weights),
                                                      .attention_blocks = 4});
}

}  // namespace dms::cuda
