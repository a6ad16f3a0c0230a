// Rows of fates on the host, beside one token at a time.

#include "cuda/fate_words.h"

#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace dms::cuda {
namespace {

constexpr int32_t kRows = 3;
constexpr int32_t kColumns = 4;
constexpr int64_t kTokens = 32 * kColumns;

std::vector<uint32_t> random_words(uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<uint32_t> words(kRows * kColumns);
  for (uint32_t& word : words) word = static_cast<uint32_t>(random());
  return words;
}

std::span<const uint32_t> row_of(std::span<const uint32_t> words, size_t row) {
  return words.subspan(row * kColumns, kColumns);
}

TEST(FateWords, WhatIsClearedIsForgottenFromThereOn) {
  const std::vector<uint32_t> words = random_words(1);
  for (const int64_t first : {0, 1, 31, 32, 33, 64, 127, 128, 200}) {
    std::vector<uint32_t> cleared = words;
    clear_fates_from(first, kColumns, cleared);
    for (size_t row = 0; row < kRows; ++row) {
      for (int64_t i = 0; i < kTokens; ++i) {
        ASSERT_EQ(is_evicted(row_of(cleared, row), i),
                  i < first && is_evicted(row_of(words, row), i))
            << first << " " << i;
      }
    }
  }
}

TEST(FateWords, KeptTokensAreCounted) {
  const std::vector<uint32_t> words = random_words(2);
  const auto row = row_of(words, 1);
  for (const int64_t first_word : {0, 2}) {
    for (int64_t begin = 32 * first_word; begin <= kTokens; begin += 7) {
      for (int64_t end = begin; end <= kTokens; end += 5) {
        int64_t kept = 0;
        for (int64_t i = begin; i < end; ++i) kept += is_evicted(row, i) ? 0 : 1;
        ASSERT_EQ(
            kept_between(row.subspan(static_cast<size_t>(first_word)), first_word, begin, end),
            kept)
            << begin << " " << end;
      }
    }
  }
}

TEST(FateWords, ColumnsBeyondATableAreZeros) {
  const std::vector<uint32_t> words = random_words(3);
  const FateRows table{.words = words, .rows = kRows, .columns = kColumns};
  for (int32_t first = 0; first < 6; ++first) {
    for (int32_t columns = 0; columns < 6; ++columns) {
      const std::vector<uint32_t> cut = columns_of(table, first, columns);
      ASSERT_EQ(std::ssize(cut), kRows * columns);
      for (int32_t i = 0; i < kRows * columns; ++i) {
        const int32_t column = first + i % columns;
        const uint32_t expected =
            column < kColumns ? words[static_cast<size_t>(i / columns * kColumns + column)] : 0;
        ASSERT_EQ(cut[static_cast<size_t>(i)], expected);
      }
    }
  }
  EXPECT_EQ(columns_of({.words = {}, .rows = 2, .columns = 0}, 0, 3), std::vector<uint32_t>(6, 0));
}

}  // namespace
}  // namespace dms::cuda
