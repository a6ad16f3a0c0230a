#include "kernels/quantise.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "kernels/quantise_table.h"

namespace dms::kernels {
namespace {

static_assert(kQuantiseColumns == kQuantGroup);

/// One group of columns of up to 16 rows.
struct Block {
  int64_t first_row;
  int64_t rows;
  int64_t first_column;
  int64_t columns;
};

class RowsQuantiser {
 public:
  RowsQuantiser(const QuantiseOptions& options,
                int64_t columns,
                std::span<const float> rows,
                QuantisedRowsBuffer& out)
      : options_(options), columns_(columns), rows_(rows), out_(out) {}

  void quantise(const Block& block) {
    gather(block);
    quantise_table().quantise_block(
        {.values = values_.data(),
         .importance = options_.importance.empty()
                           ? nullptr
                           : &options_.importance[index(block.first_column)],
         .columns = block.columns,
         .zero = zero_code(out_.format),
         .minima = options_.minima,
         .codes = codes_.data(),
         .scales = scales_.data(),
         .minimum = minima_.data()});
    scatter(block);
  }

 private:
  static size_t index(int64_t i) { return static_cast<size_t>(i); }

  void gather(const Block& block) {
    for (int64_t row = 0; row < block.rows; ++row) {
      const float* x = rows_.data() + (block.first_row + row) * columns_ + block.first_column;
      for (int64_t c = 0; c < block.columns; ++c) values_[index(c * kQuantiseRows + row)] = x[c];
    }
  }

  void scatter(const Block& block) {
    const int64_t groups = ceil_div(columns_, kQuantGroup);
    for (int64_t row = 0; row < block.rows; ++row) {
      const int64_t at = block.first_row + row;
      uint8_t* codes = out_.codes.data() + at * columns_ + block.first_column;
      for (int64_t c = 0; c < block.columns; ++c) codes[c] = codes_[index(c * kQuantiseRows + row)];
      const size_t group = index(at * groups + block.first_column / kQuantGroup);
      out_.scales[group] = scales_[index(row)];
      if (options_.minima) out_.minima[group] = minima_[index(row)];
    }
  }

  const QuantiseOptions& options_;
  int64_t columns_;
  std::span<const float> rows_;
  QuantisedRowsBuffer& out_;
  alignas(64) std::array<float, kQuantGroup * kQuantiseRows> values_{};
  alignas(64) std::array<uint8_t, kQuantGroup * kQuantiseRows> codes_{};
  alignas(64) std::array<float, kQuantiseRows> scales_{};
  alignas(64) std::array<float, kQuantiseRows> minima_{};
};

}  // namespace

QuantisedRowsBuffer quantise_rows(WeightFormat format,
                                  const QuantiseOptions& options,
                                  int64_t columns,
                                  std::span<const float> rows) {
  ensure(is_quantised(format), "a format that is not quantised");
  ensure(columns > 0 && std::ssize(rows) % columns == 0, "rows of a wrong size");
  ensure(options.importance.empty() || std::ssize(options.importance) == columns,
         "importance of a wrong size");
  const int64_t count = std::ssize(rows) / columns;
  const auto groups = static_cast<size_t>(count * ceil_div(columns, kQuantGroup));
  QuantisedRowsBuffer out{.format = format,
                          .codes = std::vector<uint8_t>(rows.size()),
                          .scales = std::vector<float>(groups),
                          .minima = std::vector<float>(options.minima ? groups : 0)};
  RowsQuantiser quantiser(options, columns, rows, out);
  for (int64_t row = 0; row < count; row += kQuantiseRows) {
    for (int64_t column = 0; column < columns; column += kQuantGroup) {
      quantiser.quantise({.first_row = row,
                          .rows = std::min(kQuantiseRows, count - row),
                          .first_column = column,
                          .columns = std::min(kQuantGroup, columns - column)});
    }
  }
  return out;
}

double squared_error(const QuantisedRows& stored, int64_t columns, std::span<const float> rows) {
  ensure(stored.codes.size() == rows.size(), "rows of another size");
  const int64_t groups = ceil_div(columns, stored.group);
  const int32_t zero = stored.minima.empty() ? zero_code(stored.format) : 0;
  double sum = 0;
  for (int64_t i = 0; i < std::ssize(rows); ++i) {
    const auto group = static_cast<size_t>(i / columns * groups + i % columns / stored.group);
    const auto at = static_cast<size_t>(i);
    const float minimum = stored.minima.empty() ? 0.0f : stored.minima[group];
    const float weight =
        stored.scales[group] * static_cast<float>(stored.codes[at] - zero) + minimum;
    const double off = static_cast<double>(rows[at]) - static_cast<double>(weight);
    sum += off * off;
  }
  return sum;
}

bool gains_from_minima(WeightFormat format, int64_t columns, std::span<const float> rows) {
  const auto error = [&](bool minima) {
    const QuantisedRowsBuffer stored = quantise_rows(format, {.minima = minima}, columns, rows);
    return squared_error(stored.view(), columns, rows);
  };
  return error(true) < 0.5 * error(false);
}

}  // namespace dms::kernels
