#include "cuda/weight_rows.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include <cuda_fp8.h>

#include "base/check.h"
#include "base/dtype.h"
#include "dms/error.h"

namespace dms::cuda {
namespace {

constexpr float kLargestFp8 = 448.0f;
constexpr float kLargestHalf = 65504.0f;

void write_bf16(std::span<const float> values, const RowPlace& to) {
  for (size_t i = 0; i < values.size(); ++i) {
    const BFloat16 value = to_bf16(values[i]);
    std::memcpy(to.data + 2 * i, &value, 2);
  }
}

void write_fp8(std::span<const float> values, const RowPlace& to) {
  float largest = 0.0f;
  for (const float value : values) {
    if (!std::isfinite(value)) {
      throw RunError({.where = "cuda",
                      .what = "a weight is not finite, and cannot be kept as FP8",
                      .got = std::to_string(value),
                      .expected = "finite weights, or weights bf16"});
    }
    largest = std::max(largest, std::abs(value));
  }
  // Rows so small that their scale would not be a normal number become zeros.
  const float normal = largest / kLargestFp8;
  const float scale = normal >= std::numeric_limits<float>::min() ? normal : 1.0f;
  std::memcpy(to.scales, &scale, sizeof scale);
  for (size_t i = 0; i < values.size(); ++i) {
    to.data[i] = std::byte{__nv_cvt_float_to_fp8(values[i] / scale, __NV_SATFINITE, __NV_E4M3)};
  }
}

void write_int4(const kernels::PackedMatrix& matrix, int64_t row, const RowPlace& to) {
  ensure(matrix.format() == kernels::WeightFormat::int4, "int4 from a matrix of another format");
  const std::byte* panel = matrix.panel(row / kernels::kPanelRows).data();
  std::array<uint8_t, kernels::kQuantGroup> codes;
  for (int64_t group = 0; group < matrix.columns() / kernels::kQuantGroup; ++group) {
    const auto [scale, minimum] = kernels::read_group(
        matrix.quantised_layout(), panel, row % kernels::kPanelRows, group, codes);
    if (!(std::abs(minimum) <= kLargestHalf)) {
      throw RunError({.where = "cuda",
                      .what = "an int4 weight's minimum does not fit a half",
                      .got = std::to_string(minimum)});
    }
    const uint16_t halves[2] = {to_half(scale), to_half(minimum)};
    std::memcpy(to.scales + 2 * group, &halves[0], 2);
    std::memcpy(to.minima + 2 * group, &halves[1], 2);
    for (size_t i = 0; i < codes.size() / 2; ++i) {
      to.data[static_cast<size_t>(group) * codes.size() / 2 + i] =
          static_cast<std::byte>(codes[2 * i] | codes[2 * i + 1] << 4);
    }
  }
}

}  // namespace

RowBytes row_bytes(MatrixFormat format, int64_t columns) {
  const auto count = static_cast<size_t>(columns);
  switch (format) {
    case MatrixFormat::bf16:
      return {.data = 2 * count};
    case MatrixFormat::fp8:
      return {.data = count, .scales = sizeof(float)};
    case MatrixFormat::int4:
      break;
  }
  return {.data = count / 2, .scales = count / 32 * 2, .minima = count / 32 * 2};
}

void write_row(const kernels::PackedMatrix& matrix,
               int64_t row,
               MatrixFormat format,
               const RowPlace& to) {
  if (format == MatrixFormat::int4) return write_int4(matrix, row, to);
  thread_local std::vector<float> values;
  values.resize(static_cast<size_t>(matrix.columns()));
  matrix.get_row(row, values);
  format == MatrixFormat::bf16 ? write_bf16(values, to) : write_fp8(values, to);
}

}  // namespace dms::cuda
