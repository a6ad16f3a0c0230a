#include "cuda/device.h"

#include <algorithm>
#include <string>
#include <utility>

#include "cpu/fingerprint.h"
#include "cuda/cuda_model.h"
#include "cuda/support.h"
#include "dms/error.h"
#include "llm/device.h"

namespace dms::cuda {
namespace {

constexpr int kDevice = 0;

/// What matrices become on the device.
MatrixFormat format_of(const cpu::ResolvedModelOptions& options) {
  const std::string& name = options.weights;
  if (name == "fp8") return MatrixFormat::fp8;
  const bool is_stored_so = name.empty() && options.weight_format == kernels::WeightFormat::int4;
  if (name == "int4" || is_stored_so) return MatrixFormat::int4;
  if (name.empty() || name == "bf16") return MatrixFormat::bf16;
  throw InputError({.field = "weights",
                    .what = "is not on the device cuda",
                    .got = name,
                    .expected = "one of bf16, fp8, int4 there"});
}

/// What they are read as: numbers, unless their codes are wanted.
model::WeightStorage storage_of(MatrixFormat format) {
  const bool wants_codes = format == MatrixFormat::int4;
  return {.format = wants_codes ? kernels::WeightFormat::int4 : kernels::WeightFormat::bf16,
          .as_stored = false};
}

int attribute(cudaDeviceAttr name) {
  int value = 0;
  check(cudaDeviceGetAttribute(&value, name, kDevice), "asking what the device is");
  return value;
}

void check_device(const ModelSpec& spec, const cpu::ResolvedModelOptions& options) {
  if (options.dtype != DType::bf16) {
    throw InputError({.field = "dtype",
                      .what = "is not on the device cuda",
                      .got = std::string(dtype_name(options.dtype)),
                      .expected = "bf16 there"});
  }
  format_of(options);
  require_supported(spec);
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    throw InputError({.field = "device",
                      .what = "no CUDA device is there",
                      .got = "cuda",
                      .expected = "a machine with a card and its driver, or cpu"});
  }
  require_shared_memory(spec, attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin));
}

std::unique_ptr<Matmul> matmul_for(int64_t rows, int64_t columns) {
  const auto max_rows = static_cast<int32_t>(rows);
  const auto max_columns = static_cast<int32_t>(columns);
  if (auto matmul = make_cublaslt_matmul(max_rows, max_columns)) return matmul;
  return make_simple_matmul(max_rows, max_columns);
}

std::unique_ptr<engine::Model> open_device(ModelSpec spec,
                                           std::unique_ptr<WeightSource> source,
                                           const cpu::ResolvedModelOptions& options) {
  check(cudaSetDevice(kDevice), "choosing the device");
  const MatrixFormat format = format_of(options);
  const model::DecoderWeights weights = model::load_weights(spec, *source, storage_of(format));
  source.reset();
  DeviceWeights on_device = upload_weights(spec, weights, format);
  const int64_t columns = std::max({spec.hidden, spec.ffn, spec.q_heads * spec.head_dim});
  CudaModelOptions device{
      .kv_bytes = options.kv_memory_bytes,
      .matmul = matmul_for(options.max_step_tokens + options.max_sequences, columns),
      .attend_prompt = prompt_attention(attribute(cudaDevAttrComputeCapabilityMajor)),
      .weight_format = format,
      .weight_sum = cpu::sum_of(weights)};
  return std::make_unique<CudaModel>(
      std::move(spec), std::move(on_device), options, std::move(device));
}

std::shared_ptr<const engine::SequencePlan> plan_device(const ModelSpec& spec,
                                                        const cpu::ResolvedModelOptions& options,
                                                        const CacheOptions& cache) {
  return make_plan(spec, options, cache);
}

}  // namespace

void add_cuda_device() {
  llm::add_device(
      {.name = "cuda", .check = check_device, .plan = plan_device, .open = open_device});
}

}  // namespace dms::cuda
