#pragma once
// Fates as the device keeps them, on the host: one bit a token, 1: evicted, 32 a word, a row of
// words for each head.

#include <cstdint>
#include <span>
#include <vector>

namespace dms::cuda {

/// Forgets, in rows of `columns` words, what stands there of tokens from `first` on.
void clear_fates_from(int64_t first, int32_t columns, std::span<uint32_t> rows);

/// Tokens in [begin, end) that are not evicted. `row`'s first word is that of token 32 *
/// first_word; what lies outside it is kept.
int64_t kept_between(std::span<const uint32_t> row, int64_t first_word, int64_t begin, int64_t end);

inline bool is_evicted(std::span<const uint32_t> row, int64_t token) {
  return (row[static_cast<size_t>(token / 32)] >> (token % 32) & 1) != 0;
}

/// A table of words.
struct FateRows {
  std::span<const uint32_t> words;  // [rows, columns]
  int32_t rows = 0;
  int32_t columns = 0;
};

/// Columns [first, first + columns); zeros beyond the table's.
std::vector<uint32_t> columns_of(const FateRows& table, int32_t first, int32_t columns);

}  // namespace dms::cuda
