#pragma once
// Weights to integers under scales. Each group of kQuantGroup columns gets the scale (and minimum)
// of the smallest squared error, weighted by `importance`, among round-to-nearest's and a range of
// candidates, each refined by least squares. The same bits on every instruction set.

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/quantised_rows.h"

namespace dms::kernels {

struct QuantiseOptions {
  bool minima = false;                  // store a minimum beside each scale
  std::span<const float> importance{};  // [columns], not negative: weight of a column's errors
};

/// Owner of what QuantisedRows refers to.
struct QuantisedRowsBuffer {
  WeightFormat format = WeightFormat::int8;
  std::vector<uint8_t> codes;
  std::vector<float> scales;  // halves, widened
  std::vector<float> minima;

  QuantisedRows view() const {
    return {.format = format, .codes = codes, .scales = scales, .minima = minima};
  }
};

/// `rows`: finite float32 [count, columns]; `format`: int8 or int4. Throws std::logic_error on a
/// shape mismatch. One thread.
QuantisedRowsBuffer quantise_rows(WeightFormat format,
                                  const QuantiseOptions& options,
                                  int64_t columns,
                                  std::span<const float> rows);

/// Sum of squared differences between `rows`, float32 [count, columns], and what is stored for
/// them.
double squared_error(const QuantisedRows& stored, int64_t columns, std::span<const float> rows);

/// Whether minima would take more than half of the squared error away, as for weights that were on
/// such a grid before: bits and time that are else better spent otherwise.
bool gains_from_minima(WeightFormat format, int64_t columns, std::span<const float> rows);

}  // namespace dms::kernels
