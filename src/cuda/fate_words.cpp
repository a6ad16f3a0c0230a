#include "cuda/fate_words.h"

#include <algorithm>
#include <bit>

#include "cache/page_bits.h"

namespace dms::cuda {

using cache::bits_from;
using cache::low_bits;

void clear_fates_from(int64_t first, int32_t columns, std::span<uint32_t> rows) {
  if (columns == 0) return;
  for (size_t i = 0; i < rows.size(); ++i) {
    const int64_t word = static_cast<int64_t>(i) % columns;
    rows[i] &= low_bits(first - word * 32);
  }
}

int64_t kept_between(std::span<const uint32_t> row,
                     int64_t first_word,
                     int64_t begin,
                     int64_t end) {
  int64_t kept = std::max<int64_t>(end - begin, 0);
  for (size_t i = 0; i < row.size(); ++i) {
    const int64_t base = (first_word + static_cast<int64_t>(i)) * 32;
    if (base >= end) break;
    kept -= std::popcount(row[i] & bits_from(begin - base) & low_bits(end - base));
  }
  return kept;
}

std::vector<uint32_t> columns_of(const FateRows& table, int32_t first, int32_t columns) {
  std::vector<uint32_t> out(static_cast<size_t>(table.rows) * static_cast<size_t>(columns), 0);
  const int32_t there = std::clamp(table.columns - first, 0, columns);
  for (int64_t row = 0; row < table.rows && there > 0; ++row) {
    const auto from = table.words.begin() + row * table.columns + first;
    std::copy_n(from, there, out.begin() + row * columns);
  }
  return out;
}

}  // namespace dms::cuda
