#include "kernels/packed_matrix.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace dms::kernels {
namespace {

/// Columns packed at a time: 32 rows of them stay in the first-level cache.
constexpr int64_t kBlockColumns = 64;

uint32_t word_of(float low, float high) {
  return to_bf16(low).bits | static_cast<uint32_t>(to_bf16(high).bits) << 16;
}

/// Rows of one block of columns into the panel's words; `panel` starts at output `first`.
void pack_f32(const float* rows, int64_t count, int64_t columns, int64_t at, uint32_t* panel) {
  const int64_t end = std::min(at + kBlockColumns, columns);
  for (int64_t row = 0; row < count; ++row) {
    for (int64_t column = at; column < end; ++column) {
      panel[column * kPanelRows + row] = std::bit_cast<uint32_t>(rows[row * columns + column]);
    }
  }
}

void pack_bf16(const float* rows, int64_t count, int64_t columns, int64_t at, uint32_t* panel) {
  const int64_t end = std::min(at + kBlockColumns, columns);
  for (int64_t row = 0; row < count; ++row) {
    const float* x = rows + row * columns;
    for (int64_t column = at; column + 1 < end; column += 2) {
      panel[column / 2 * kPanelRows + row] = word_of(x[column], x[column + 1]);
    }
    if (end % 2 != 0) panel[end / 2 * kPanelRows + row] = word_of(x[end - 1], 0.0f);
  }
}

int64_t bytes_of_panel(DType type, int64_t columns) {
  const int64_t pack = 4 / dtype_bytes(type);
  const auto bytes = checked_mul(ceil_div(columns, pack), kPanelRows * 4);
  ensure(bytes.has_value(), "a packed matrix with too many columns");
  return *bytes;
}

int64_t bytes_of_panels(int64_t panels, int64_t panel_bytes) {
  const auto bytes = checked_mul(panels, panel_bytes);
  ensure(bytes.has_value(), "a packed matrix that is too large");
  return *bytes;
}

}  // namespace

PackedMatrix::PackedMatrix(DType type, int64_t rows, int64_t columns)
    : type_(type),
      rows_(rows),
      columns_(columns),
      panels_(ceil_div(rows, kPanelRows)),
      panel_bytes_(bytes_of_panel(type, columns)),
      buffer_(bytes_of_panels(panels_, panel_bytes_)) {
  ensure(type == DType::f32 || type == DType::bf16, "packed weights are f32 or bf16");
  ensure(rows > 0 && columns > 0, "an empty packed matrix");
}

std::span<const std::byte> PackedMatrix::panel(int64_t index) const {
  return {buffer_.data() + index * panel_bytes_, static_cast<size_t>(panel_bytes_)};
}

void PackedMatrix::set_panel_rows(int64_t index,
                                  int64_t first,
                                  int64_t count,
                                  std::span<const float> rows) {
  ensure(index >= 0 && index < panels_, "no such panel");
  ensure(first >= 0 && count >= 0 && first + count <= kPanelRows, "rows outside their panel");
  ensure(std::ssize(rows) == count * columns_, "rows of a wrong size");
  auto* words = reinterpret_cast<uint32_t*>(buffer_.data() + index * panel_bytes_) + first;
  for (int64_t column = 0; column < columns_; column += kBlockColumns) {
    if (type_ == DType::f32) {
      pack_f32(rows.data(), count, columns_, column, words);
    } else {
      pack_bf16(rows.data(), count, columns_, column, words);
    }
  }
}

void PackedMatrix::get_row(int64_t row, std::span<float> out) const {
  ensure(row >= 0 && row < rows_, "no such row");
  ensure(std::ssize(out) == columns_, "a row of a wrong size");
  const std::byte* data = panel(row / kPanelRows).data();
  const auto* words = reinterpret_cast<const uint32_t*>(data) + row % kPanelRows;
  for (size_t column = 0; column < out.size(); ++column) {
    if (type_ == DType::f32) {
      out[column] = std::bit_cast<float>(words[column * kPanelRows]);
    } else {
      const uint32_t word = words[column / 2 * kPanelRows];
      out[column] = std::bit_cast<float>(column % 2 == 0 ? word << 16 : word & 0xffff0000u);
    }
  }
}

}  // namespace dms::kernels
