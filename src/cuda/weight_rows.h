#pragma once
// Rows of the CPU's packed matrices in the device's formats.

#include <cstddef>
#include <cstdint>

#include "cuda/kernels/matmul.h"
#include "kernels/packed_matrix.h"

namespace dms::cuda {

/// Bytes of a row's numbers or codes, of its scales, and of its minima.
struct RowBytes {
  size_t data = 0;
  size_t scales = 0;
  size_t minima = 0;
};
RowBytes row_bytes(MatrixFormat format, int64_t columns);

/// Where one row goes; what the format does not have is not written.
struct RowPlace {
  std::byte* data = nullptr;
  std::byte* scales = nullptr;
  std::byte* minima = nullptr;
};

/// Writes row `row`. int4 takes int4 matrices alone; throws RunError where a minimum does not fit
/// a half.
void write_row(const kernels::PackedMatrix& matrix,
               int64_t row,
               MatrixFormat format,
               const RowPlace& to);

}  // namespace dms::cuda
