#include "kernels/packed_matrix.h"

#include <algorithm>
#include <bit>
#include <optional>

#include "base/check.h"
#include "base/dtype.h"
#include "kernels/quantise.h"

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

/// Whether rows of `columns` under scales hold what they say.
void check_rows(const QuantisedRows& rows, const QuantisedLayout& layout, int64_t columns) {
  ensure(rows.format == layout.format, "rows of another format");
  ensure(rows.group > 0 && rows.group % kQuantGroup == 0, "a group of scales of a wrong size");
  const int64_t count = std::ssize(rows.codes) / columns;
  ensure(std::ssize(rows.codes) == count * columns, "codes of a wrong size");
  ensure(std::ssize(rows.scales) == count * ceil_div(columns, rows.group),
         "scales of a wrong size");
  ensure(rows.minima.empty() || rows.minima.size() == rows.scales.size(), "minima of a wrong size");
  ensure(rows.minima.empty() || layout.minima, "minima without room for them");
}

int64_t bytes_of_panels(int64_t panels, int64_t groups, int64_t group_bytes) {
  const auto panel_bytes = checked_mul(groups, group_bytes);
  const auto bytes = panel_bytes ? checked_mul(panels, *panel_bytes) : std::nullopt;
  ensure(bytes.has_value(), "a packed matrix that is too large");
  return *bytes;
}

}  // namespace

PackedMatrix::PackedMatrix(WeightFormat format, int64_t rows, int64_t columns, bool minima)
    : layout_{.format = format, .minima = minima},
      rows_(rows),
      columns_(columns),
      panels_(ceil_div(rows, kPanelRows)) {
  ensure(rows > 0 && columns > 0, "an empty packed matrix");
  ensure(is_quantised(format) || !minima, "minima of weights that are not quantised");
  const int64_t groups = ceil_div(columns, group_columns());
  buffer_ = AlignedBuffer(bytes_of_panels(panels_, groups, group_bytes()));
  panel_bytes_ = groups * group_bytes();
}

int64_t PackedMatrix::group_columns() const {
  return is_quantised(format()) ? kQuantGroup : 32 / weight_bits(format());
}

int64_t PackedMatrix::group_bytes() const {
  return is_quantised(format()) ? layout_.group_bytes() : kPanelRows * 4;
}

std::span<const std::byte> PackedMatrix::panel(int64_t index) const {
  return {buffer_.data() + index * panel_bytes_, static_cast<size_t>(panel_bytes_)};
}

std::byte* PackedMatrix::panel_for(int64_t index, int64_t first, int64_t count) {
  ensure(index >= 0 && index < panels_, "no such panel");
  ensure(first >= 0 && count >= 0 && first + count <= kPanelRows, "rows outside their panel");
  return buffer_.data() + index * panel_bytes_;
}

void PackedMatrix::set_panel_rows(int64_t index,
                                  int64_t first,
                                  int64_t count,
                                  std::span<const float> rows) {
  std::byte* panel = panel_for(index, first, count);
  ensure(std::ssize(rows) == count * columns_, "rows of a wrong size");
  if (is_quantised(format())) {
    const QuantiseOptions options{.minima = has_minima()};
    set_panel_rows(index, first, quantise_rows(format(), options, columns_, rows).view());
    return;
  }
  auto* words = reinterpret_cast<uint32_t*>(panel) + first;
  for (int64_t column = 0; column < columns_; column += kBlockColumns) {
    if (format() == WeightFormat::f32) {
      pack_f32(rows.data(), count, columns_, column, words);
    } else {
      pack_bf16(rows.data(), count, columns_, column, words);
    }
  }
}

void PackedMatrix::set_panel_rows(int64_t index, int64_t first, const QuantisedRows& rows) {
  check_rows(rows, layout_, columns_);
  const int64_t count = std::ssize(rows.codes) / columns_;
  std::byte* panel = panel_for(index, first, count);
  const int64_t scales = ceil_div(columns_, rows.group);
  for (int64_t row = 0; row < count; ++row) {
    for (int64_t column = 0; column < columns_; column += kQuantGroup) {
      const auto at = static_cast<size_t>(row * scales + column / rows.group);
      const float scale = rows.scales[at];
      const float below_zero = -scale * static_cast<float>(zero_code(format()));
      write_group(layout_,
                  panel,
                  first + row,
                  column / kQuantGroup,
                  {.codes = rows.codes.subspan(
                       static_cast<size_t>(row * columns_ + column),
                       static_cast<size_t>(std::min(kQuantGroup, columns_ - column))),
                   .scale = scale,
                   .minimum = rows.minima.empty() ? below_zero : rows.minima[at]});
    }
  }
}

void PackedMatrix::get_row(int64_t row, std::span<float> out) const {
  ensure(row >= 0 && row < rows_, "no such row");
  ensure(std::ssize(out) == columns_, "a row of a wrong size");
  const std::byte* data = panel(row / kPanelRows).data();
  if (is_quantised(format())) {
    read_weights(layout_, data, row % kPanelRows, columns_, out.data(), 1);
    return;
  }
  const auto* words = reinterpret_cast<const uint32_t*>(data) + row % kPanelRows;
  for (size_t column = 0; column < out.size(); ++column) {
    if (format() == WeightFormat::f32) {
      out[column] = std::bit_cast<float>(words[column * kPanelRows]);
    } else {
      const uint32_t word = words[column / 2 * kPanelRows];
      out[column] = std::bit_cast<float>(column % 2 == 0 ? word << 16 : word & 0xffff0000u);
    }
  }
}

void PackedMatrix::unpack_panel(int64_t index, std::span<float> out) const {
  ensure(is_quantised(format()), "a panel that is not quantised");
  ensure(std::ssize(out) == columns_ * kPanelRows, "a panel of a wrong size");
  for (int64_t output = 0; output < kPanelRows; ++output) {
    read_weights(layout_, panel(index).data(), output, columns_, out.data() + output, kPanelRows);
  }
}

}  // namespace dms::kernels
