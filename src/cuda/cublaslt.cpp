// Matrix products by cuBLASLt. Never run on a GPU so far: compiled and linked only.
//
// Matrices are stored by rows, cuBLASLt's by columns. out [rows, outputs] = x W^T is, by columns,
// out^T [outputs, rows] = W x^T with W as [columns, outputs] transposed and x as [columns, rows]
// as it is: the one layout that FP8 products take.

#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include <cublasLt.h>

#include "cuda/kernels/matmul.h"
#include "cuda/kernels/quantise_rows.h"
#include "cuda/memory.h"

namespace dms::cuda {
namespace {

// What NVIDIA recommends for Hopper; older devices want less.
constexpr size_t kWorkspaceBytes = size_t{32} << 20;
constexpr size_t kScaleAlignment = 256;
constexpr uint32_t kInputAlignment = 16;

template <typename T, cublasStatus_t (*kDestroy)(T)>
struct Destroy {
  void operator()(T object) const { kDestroy(object); }
};
template <typename T, cublasStatus_t (*kDestroy)(T)>
using Owner = std::unique_ptr<std::remove_pointer_t<T>, Destroy<T, kDestroy>>;

using Handle = Owner<cublasLtHandle_t, cublasLtDestroy>;
using Description = Owner<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>;
using Layout = Owner<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;
using Preference = Owner<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>;

cudaError_t error_of(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS:
      return cudaSuccess;
    case CUBLAS_STATUS_ALLOC_FAILED:
      return cudaErrorMemoryAllocation;
    case CUBLAS_STATUS_INVALID_VALUE:
      return cudaErrorInvalidValue;
    case CUBLAS_STATUS_NOT_SUPPORTED:
    case CUBLAS_STATUS_ARCH_MISMATCH:
      return cudaErrorNotSupported;
    case CUBLAS_STATUS_EXECUTION_FAILED:
      return cudaErrorLaunchFailure;
    default:
      return cudaErrorUnknown;
  }
}

/// What an algorithm is chosen for.
struct Shape {
  MatrixFormat format;
  int32_t rows;
  int32_t outputs;
  int32_t columns;
  bool is_out_bf16;
  bool accumulate;
  uint32_t out_alignment;  // in bytes, of each of its rows

  auto operator<=>(const Shape&) const = default;
};

/// A shape's descriptors, and its algorithm where cuBLASLt has one.
struct Plan {
  Description product;
  Layout weights;
  Layout x;
  Layout out;
  std::optional<cublasLtMatmulAlgo_t> algorithm;
};

template <typename T>
bool set(cublasLtMatmulDesc_t product, cublasLtMatmulDescAttributes_t attribute, T value) {
  return cublasLtMatmulDescSetAttribute(product, attribute, &value, sizeof value) ==
         CUBLAS_STATUS_SUCCESS;
}

bool set_scales(cublasLtMatmulDesc_t product, const float* weights, const float* x) {
  return set(product, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, weights) &&
         set(product, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, x);
}

Description describe_product(MatrixFormat format) {
  cublasLtMatmulDesc_t raw = nullptr;
  if (cublasLtMatmulDescCreate(&raw, CUBLAS_COMPUTE_32F, CUDA_R_32F) != CUBLAS_STATUS_SUCCESS) {
    return nullptr;
  }
  Description product(raw);
  bool is_set = set(raw, CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
  if (format == MatrixFormat::fp8) {
    constexpr int32_t kPerRow = CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F;
    is_set = is_set && set(raw, CUBLASLT_MATMUL_DESC_A_SCALE_MODE, kPerRow) &&
             set(raw, CUBLASLT_MATMUL_DESC_B_SCALE_MODE, kPerRow);
  }
  return is_set ? std::move(product) : nullptr;
}

/// By columns, without gaps.
Layout describe_matrix(cudaDataType_t type, int32_t column_length, int32_t count) {
  cublasLtMatrixLayout_t raw = nullptr;
  const cublasStatus_t status = cublasLtMatrixLayoutCreate(&raw,
                                                           type,
                                                           static_cast<uint64_t>(column_length),
                                                           static_cast<uint64_t>(count),
                                                           column_length);
  return Layout(status == CUBLAS_STATUS_SUCCESS ? raw : nullptr);
}

/// Rows of activations and weights begin at multiples of 16 bytes; cuBLASLt would take 256 for
/// granted.
Preference preference_for(const Shape& shape) {
  cublasLtMatmulPreference_t raw = nullptr;
  if (cublasLtMatmulPreferenceCreate(&raw) != CUBLAS_STATUS_SUCCESS) return nullptr;
  Preference preference(raw);
  const auto set = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
    return cublasLtMatmulPreferenceSetAttribute(raw, attribute, &value, sizeof value) ==
           CUBLAS_STATUS_SUCCESS;
  };
  const bool is_set = set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, uint64_t{kWorkspaceBytes}) &&
                      set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, kInputAlignment) &&
                      set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, kInputAlignment) &&
                      set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, shape.out_alignment) &&
                      set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, shape.out_alignment);
  return is_set ? std::move(preference) : nullptr;
}

/// 16, or that of one element where some row does not begin there.
uint32_t alignment_of_out(const MatmulParams& params) {
  const bool is_bf16 = params.out_bf16 != nullptr;
  const uint32_t element = is_bf16 ? sizeof(__nv_bfloat16) : sizeof(float);
  const auto begin = is_bf16 ? reinterpret_cast<uintptr_t>(params.out_bf16)
                             : reinterpret_cast<uintptr_t>(params.out);
  const auto row_bytes = static_cast<uintptr_t>(params.weights.rows) * element;
  return begin % kInputAlignment == 0 && row_bytes % kInputAlignment == 0 ? kInputAlignment
                                                                          : element;
}

class CublasLtMatmul final : public Matmul {
 public:
  CublasLtMatmul(Handle handle, int32_t max_rows, int32_t max_columns, int32_t thin_rows)
      : handle_(std::move(handle)),
        own_(make_simple_matmul(max_rows, max_columns)),
        thin_rows_(thin_rows),
        max_rows_(max_rows),
        max_columns_(max_columns),
        workspace_(kWorkspaceBytes, "matrix products") {}

  /// Room for activations in FP8, where the device multiplies those. Throws RunError.
  void use_fp8() {
    const auto values = static_cast<size_t>(max_rows_) * static_cast<size_t>(max_columns_);
    scales_at_ = (values + kScaleAlignment - 1) / kScaleAlignment * kScaleAlignment;
    codes_ = DeviceBuffer(scales_at_ + sizeof(float) * static_cast<size_t>(max_rows_),
                          "activations in FP8");
  }

  cudaError_t run(const MatmulParams& params, cudaStream_t stream) override;

 private:
  bool takes(const MatmulParams& params) const;
  Plan make_plan(const Shape& shape) const;
  const Plan& plan_for(const Shape& shape);
  cudaError_t quantise(const MatmulParams& params, const Plan& plan, cudaStream_t stream) const;

  Handle handle_;
  std::unique_ptr<Matmul> own_;
  int32_t thin_rows_;
  int32_t max_rows_;
  int32_t max_columns_;
  DeviceBuffer workspace_;
  DeviceBuffer codes_;  // [max_rows, max_columns] E4M3, then the rows' scales; empty: no FP8
  size_t scales_at_ = 0;
  std::map<Shape, Plan> plans_;
};

bool CublasLtMatmul::takes(const MatmulParams& params) const {
  const MatrixView& weights = params.weights;
  if (params.rows <= thin_rows_ || params.rows <= 0) return false;
  if (weights.format == MatrixFormat::bf16) return true;
  return weights.format == MatrixFormat::fp8 && codes_.bytes() > 0 && params.rows <= max_rows_ &&
         weights.columns <= max_columns_ && weights.rows % 16 == 0;
}

Plan CublasLtMatmul::make_plan(const Shape& shape) const {
  const cudaDataType_t type = shape.format == MatrixFormat::fp8 ? CUDA_R_8F_E4M3 : CUDA_R_16BF;
  const cudaDataType_t out_type = shape.is_out_bf16 ? CUDA_R_16BF : CUDA_R_32F;
  Plan plan{.product = describe_product(shape.format),
            .weights = describe_matrix(type, shape.columns, shape.outputs),
            .x = describe_matrix(type, shape.columns, shape.rows),
            .out = describe_matrix(out_type, shape.outputs, shape.rows),
            .algorithm = {}};
  const Preference preference = preference_for(shape);
  if (!plan.product || !plan.weights || !plan.x || !plan.out || !preference) return plan;
  // The choice may ask whether there are scales, not where.
  const auto* scales = codes_.at<const float>(scales_at_);
  if (shape.format == MatrixFormat::fp8 && !set_scales(plan.product.get(), scales, scales)) {
    return plan;
  }
  cublasLtMatmulHeuristicResult_t result{};
  int count = 0;
  const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(handle_.get(),
                                                               plan.product.get(),
                                                               plan.weights.get(),
                                                               plan.x.get(),
                                                               plan.out.get(),
                                                               plan.out.get(),
                                                               preference.get(),
                                                               1,
                                                               &result,
                                                               &count);
  const bool is_found = status == CUBLAS_STATUS_SUCCESS && count > 0 &&
                        result.state == CUBLAS_STATUS_SUCCESS &&
                        result.workspaceSize <= kWorkspaceBytes;
  if (is_found) plan.algorithm = result.algo;
  return plan;
}

const Plan& CublasLtMatmul::plan_for(const Shape& shape) {
  const auto found = plans_.find(shape);
  return found != plans_.end() ? found->second
                               : plans_.emplace(shape, make_plan(shape)).first->second;
}

cudaError_t CublasLtMatmul::quantise(const MatmulParams& params,
                                     const Plan& plan,
                                     cudaStream_t stream) const {
  auto* scales = codes_.at<float>(scales_at_);
  if (!set_scales(plan.product.get(), params.weights.scales, scales)) return cudaErrorUnknown;
  return quantise_rows({.x = params.x,
                        .codes = codes_.at<__nv_fp8_storage_t>(),
                        .scales = scales,
                        .rows = params.rows,
                        .columns = params.weights.columns},
                       stream);
}

cudaError_t CublasLtMatmul::run(const MatmulParams& params, cudaStream_t stream) {
  if (!takes(params)) return own_->run(params, stream);
  const MatrixView& weights = params.weights;
  const Plan& plan = plan_for({.format = weights.format,
                               .rows = params.rows,
                               .outputs = weights.rows,
                               .columns = weights.columns,
                               .is_out_bf16 = params.out_bf16 != nullptr,
                               .accumulate = params.accumulate,
                               .out_alignment = alignment_of_out(params)});
  if (!plan.algorithm) return own_->run(params, stream);
  const void* x = params.x;
  if (weights.format == MatrixFormat::fp8) {
    const cudaError_t status = quantise(params, plan, stream);
    if (status != cudaSuccess) return status;
    x = codes_.data();
  }
  const float one = 1.0f;
  const float keep = params.accumulate ? 1.0f : 0.0f;
  void* out = params.out_bf16 != nullptr ? static_cast<void*>(params.out_bf16) : params.out;
  return error_of(cublasLtMatmul(handle_.get(),
                                 plan.product.get(),
                                 &one,
                                 weights.data,
                                 plan.weights.get(),
                                 x,
                                 plan.x.get(),
                                 &keep,
                                 out,
                                 plan.out.get(),
                                 out,
                                 plan.out.get(),
                                 &*plan.algorithm,
                                 workspace_.data(),
                                 workspace_.bytes(),
                                 stream));
}

/// Scales per row and output came with Hopper.
bool has_fp8_products() {
  int device = 0;
  int major = 0;
  return cudaGetDevice(&device) == cudaSuccess &&
         cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) == cudaSuccess &&
         major >= 9;
}

}  // namespace

std::unique_ptr<Matmul> make_cublaslt_matmul(int32_t max_rows,
                                             int32_t max_columns,
                                             int32_t thin_rows) {
  cublasLtHandle_t raw = nullptr;
  if (cublasLtCreate(&raw) != CUBLAS_STATUS_SUCCESS) return nullptr;
  auto matmul = std::make_unique<CublasLtMatmul>(Handle(raw), max_rows, max_columns, thin_rows);
  if (has_fp8_products()) matmul->use_fp8();
  return matmul;
}

}  // namespace dms::cuda
