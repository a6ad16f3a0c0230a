#pragma once
// Weights in the one layout that both the wide (prefill) and the thin (decode) product stream.
//
// A matrix [rows, columns] (rows = outputs, as nn.Linear stores it) is cut into panels of
// kPanelRows = 32 outputs. Inside a panel, elements go by column group: [columns / p][32][p] with
// p = 4 / sizeof(element), so that 4 bytes hold one output's p neighbouring columns. Sixteen
// outputs are one 64-byte vector, to be multiplied by one broadcast 4-byte group of the
// activations: exactly vdpbf16ps' operands, and one plain FMA for f32. Rows are padded with zeros
// to whole panels, columns to a multiple of p. Panels follow one another without gaps, so a thin
// product reads memory once, in order. Quantised panels: quantised_panel.h.

#include <cstdint>
#include <span>

#include "base/aligned_buffer.h"
#include "kernels/quantised_panel.h"
#include "kernels/quantised_rows.h"
#include "kernels/weight_format.h"

namespace dms::kernels {

inline constexpr int64_t kPanelRows = 32;

class PackedMatrix {
 public:
  PackedMatrix() = default;
  /// All zeros. `minima`: quantised formats keep a minimum beside each scale.
  PackedMatrix(WeightFormat format, int64_t rows, int64_t columns, bool minima = false);

  WeightFormat format() const { return layout_.format; }
  bool has_minima() const { return layout_.minima; }
  const QuantisedLayout& quantised_layout() const { return layout_; }
  int64_t rows() const { return rows_; }
  int64_t columns() const { return columns_; }
  int64_t panels() const { return panels_; }
  /// Columns that lie together, and their bytes in a panel.
  int64_t group_columns() const;
  int64_t group_bytes() const;
  int64_t panel_bytes() const { return panel_bytes_; }
  int64_t bytes() const { return buffer_.bytes(); }

  std::span<const std::byte> panel(int64_t index) const;

  /// Fills rows [first, first + count) of panel `index` from float32 [count, columns]; a quantised
  /// matrix rounds them as quantise.h does, all columns alike.
  void set_panel_rows(int64_t index, int64_t first, int64_t count, std::span<const float> rows);

  /// Fills rows from `first` on from codes of the matrix's format. Rows without minima find room in
  /// a matrix with them, not the other way round.
  void set_panel_rows(int64_t index, int64_t first, const QuantisedRows& rows);

  /// Reads one row back as float32 [columns] (embedding look-up on a tied head).
  void get_row(int64_t row, std::span<float> out) const;

  /// A quantised panel's weights as float32 [columns, 32].
  void unpack_panel(int64_t index, std::span<float> out) const;

 private:
  std::byte* panel_for(int64_t index, int64_t first, int64_t count);

  QuantisedLayout layout_{.format = WeightFormat::f32};
  int64_t rows_ = 0;
  int64_t columns_ = 0;
  int64_t panels_ = 0;
  int64_t panel_bytes_ = 0;
  AlignedBuffer buffer_;
};

}  // namespace dms::kernels
