#pragma once
// Caches of rows that decode, on the host: slots and pages of random order, in which all that no
// row may see is NaN bytes.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <cuda_bf16.h>
#include <gtest/gtest.h>

#include "cuda/kernels/cache_view.h"

namespace dms::cuda {

/// One row, of a slot of its own.
struct DecodeRow {
  int32_t position = 0;
  int32_t sealed_end = 0;
  int32_t window = 1 << 30;
  int32_t survivors = 0;  // of layer 0 and KV head 0; layer l and head h have 7 l + 16 h fewer
};

struct DecodeCase {
  int32_t head_dim = 64;
  int32_t kv_heads = 2;
  int32_t group = 4;
  KvFormat format = KvFormat::bf16;
  int32_t layers = 1;
  int32_t blocks = 4;
  int32_t ring_pages = 4;
  std::vector<DecodeRow> rows{};
  double evicted = 0.5;      // share of tokens
  double score_scale = 2.0;  // standard deviation of scores
};

inline std::string describe(const DecodeCase& c) {
  std::string text = "head_dim " + std::to_string(c.head_dim) + " kv_heads " +
                     std::to_string(c.kv_heads) + " group " + std::to_string(c.group) + " format " +
                     std::to_string(static_cast<int>(c.format)) + " blocks " +
                     std::to_string(c.blocks) + " ring " + std::to_string(c.ring_pages);
  for (const DecodeRow& row : c.rows) {
    text += " [position " + std::to_string(row.position) + " sealed " +
            std::to_string(row.sealed_end) + " window " + std::to_string(row.window) +
            " survivors " + std::to_string(row.survivors) + "]";
  }
  return text;
}

/// The tables as CacheView has them.
class DecodeCache {
 public:
  struct Token {
    bool survivor = false;
    std::vector<double> key;
    std::vector<double> value;
  };

  DecodeCache(const DecodeCase& shape, std::mt19937& random) : c_(shape), random_(random) {
    make_slots();
    make_pages();
  }

  int32_t rows() const { return static_cast<int32_t>(c_.rows.size()); }
  int32_t slots() const { return rows() + kOtherSlots; }
  int32_t survivors(int32_t row, int32_t layer, int32_t kv_head) const {
    return std::max(0, c_.rows[static_cast<size_t>(row)].survivors - 7 * layer - 16 * kv_head);
  }
  int32_t pages(int32_t row, int32_t layer, int32_t kv_head) const {
    const DecodeRow& r = c_.rows[static_cast<size_t>(row)];
    return (survivors(row, layer, kv_head) + 31) / 32 + r.position / 32 - r.sealed_end / 32 + 1;
  }
  /// Bytes of keys, values and scales that a layer's rows see.
  int64_t visible_bytes(int32_t layer) const {
    int64_t bytes = 0;
    for (int32_t row = 0; row < rows(); ++row) {
      for (int32_t h = 0; h < c_.kv_heads; ++h) {
        const int64_t kept = survivors(row, layer, h);
        bytes += kept * 2 * c_.head_dim * element_bytes(c_.format);
        if (c_.format != KvFormat::bf16) bytes += (kept + 31) / 32 * 2 * 2 * kPageTokens;
        for (const Token& token : head(row, layer, h)) {
          if (!token.survivor) bytes += int64_t{2} * 2 * c_.head_dim;
        }
      }
    }
    return bytes;
  }
  /// What a row sees in a head.
  const std::vector<Token>& head(int32_t row, int32_t layer, int32_t kv_head) const {
    return tokens_[head_number(row, layer, kv_head)];
  }

  int32_t max_pages() const { return max_pages_; }
  int32_t fate_words() const { return fate_words_; }
  const std::vector<int32_t>& slot_of_row() const { return slot_of_row_; }
  const std::vector<std::byte>& arena() const { return arena_; }
  const std::vector<uint32_t>& window_table() const { return window_table_; }
  const std::vector<uint32_t>& survivor_table() const { return survivor_table_; }
  const std::vector<int32_t>& survivor_counts() const { return survivors_; }
  const std::vector<uint32_t>& fates() const { return fates_; }

 private:
  static constexpr int32_t kOtherSlots = 2;  // that nobody asks for
  static constexpr uint32_t kNoPage = 0x00ffffffu;

  size_t head_number(int32_t row, int32_t layer, int32_t kv_head) const {
    return static_cast<size_t>(
        (slot_of_row_[static_cast<size_t>(row)] * c_.layers + layer) * c_.kv_heads + kv_head);
  }
  double normal() { return std::normal_distribution<double>()(random_); }

  void make_slots() {
    slot_of_row_.resize(static_cast<size_t>(slots()));
    std::iota(slot_of_row_.begin(), slot_of_row_.end(), 0);
    std::shuffle(slot_of_row_.begin(), slot_of_row_.end(), random_);
    int32_t last = 0;
    max_pages_ = 1;
    for (int32_t row = 0; row < rows(); ++row) {
      const DecodeRow& r = c_.rows[static_cast<size_t>(row)];
      last = std::max(last, r.position);
      max_pages_ = std::max(max_pages_, (r.survivors + 31) / 32);
      ASSERT_LE(r.position / 32 - r.sealed_end / 32 + 1, c_.ring_pages) << describe(c_);
    }
    fate_words_ = last / 32 + 1;
  }

  void make_pages() {
    const auto heads = static_cast<size_t>(slots() * c_.layers * c_.kv_heads);
    tokens_.resize(heads);
    window_table_.assign(heads * static_cast<size_t>(c_.ring_pages), kNoPage);
    survivor_table_.assign(heads * static_cast<size_t>(max_pages_), kNoPage);
    survivors_.assign(heads, 0x7fffffff);
    fates_.assign(heads * static_cast<size_t>(fate_words_), 0);
    int64_t pages = 2;
    for (int32_t row = 0; row < rows(); ++row) {
      for (int32_t layer = 0; layer < c_.layers; ++layer) {
        for (int32_t h = 0; h < c_.kv_heads; ++h) pages += this->pages(row, layer, h);
      }
    }
    free_pages_.resize(static_cast<size_t>(pages));
    std::iota(free_pages_.begin(), free_pages_.end(), 0);
    std::shuffle(free_pages_.begin(), free_pages_.end(), random_);
    arena_.assign(static_cast<size_t>(pages * page_bytes(KvFormat::bf16, c_.head_dim)),
                  std::byte{0xff});
    for (int32_t row = 0; row < rows(); ++row) {
      for (int32_t layer = 0; layer < c_.layers; ++layer) {
        for (int32_t h = 0; h < c_.kv_heads; ++h) make_head(row, layer, h);
      }
    }
  }

  /// A page of the arena that nobody has, as the tables hold it.
  uint32_t take_page() {
    const auto page = static_cast<uint32_t>(free_pages_.back());
    free_pages_.pop_back();
    return page * static_cast<uint32_t>(page_bytes(KvFormat::bf16, c_.head_dim) / kPageUnit);
  }

  void make_head(int32_t row, int32_t layer, int32_t kv_head) {
    const DecodeRow& r = c_.rows[static_cast<size_t>(row)];
    const size_t head = head_number(row, layer, kv_head);
    survivors_[head] = survivors(row, layer, kv_head);
    for (int32_t i = 0; i < survivors_[head]; ++i) {
      uint32_t& place =
          survivor_table_[head * static_cast<size_t>(max_pages_) + static_cast<size_t>(i / 32)];
      if (i % 32 == 0) place = take_page();
      tokens_[head].push_back(make_token(place, i % 32, c_.format));
      tokens_[head].back().survivor = true;
    }
    for (int32_t i = 0; i <= r.position; ++i) {
      // Fates within the window must not matter, be they decided or not.
      const bool evicted = std::bernoulli_distribution(c_.evicted)(random_);
      fates_[head * static_cast<size_t>(fate_words_) + static_cast<size_t>(i / 32)] |=
          static_cast<uint32_t>(evicted) << (i % 32);
      if (i < r.sealed_end) continue;
      uint32_t& place = window_table_[head * static_cast<size_t>(c_.ring_pages) +
                                      static_cast<size_t>(i / 32 % c_.ring_pages)];
      if (place == kNoPage) place = take_page();
      const bool visible = r.position - i <= r.window || !evicted;
      if (visible) tokens_[head].push_back(make_token(place, i % 32, KvFormat::bf16));
    }
  }

  /// A random token, also written to its place in a page.
  Token make_token(uint32_t place, int32_t j, KvFormat format) {
    Token token;
    std::byte* page = arena_.data() + static_cast<size_t>(place) * kPageUnit;
    for (int side = 0; side < 2; ++side) {
      std::byte* data =
          page + side * side_bytes(format, c_.head_dim) + j * c_.head_dim * element_bytes(format);
      std::byte* scale = page + 2 * side_bytes(format, c_.head_dim) + 2 * (side * kPageTokens + j);
      std::vector<double>& x = side == 0 ? token.key : token.value;
      const double step = format == KvFormat::bf16 ? 1.0 : make_scale(scale, format);
      for (int32_t c = 0; c < c_.head_dim; ++c) {
        x.push_back(step * make_element(data + c * element_bytes(format), format));
      }
    }
    return token;
  }

  double make_scale(std::byte* to, KvFormat format) {
    const double usual = format == KvFormat::fp8 ? 0.006 : 0.015;
    const __nv_bfloat16 scale =
        __float2bfloat16(static_cast<float>(usual * std::exp2(0.5 * normal())));
    std::memcpy(to, &scale, sizeof scale);
    return __bfloat162float(scale);
  }

  double make_element(std::byte* to, KvFormat format) {
    if (format == KvFormat::bf16) {
      const __nv_bfloat16 x = __float2bfloat16(static_cast<float>(normal()));
      std::memcpy(to, &x, sizeof x);
      return __bfloat162float(x);
    }
    if (format == KvFormat::int8) {
      const int code = std::uniform_int_distribution<int>(-127, 127)(random_);
      *to = static_cast<std::byte>(code);
      return code;
    }
    // E4M3 without subnormals (kv_page_scaled.cpp), large numbers more often than small ones.
    const int size = 126 - std::min(118, std::geometric_distribution<int>(0.04)(random_));
    const bool negative = std::bernoulli_distribution(0.5)(random_);
    const bool zero = std::bernoulli_distribution(0.05)(random_);
    *to = static_cast<std::byte>((zero ? 0 : size) | (negative ? 0x80 : 0));
    const double number = zero ? 0.0 : std::ldexp(1.0 + size % 8 / 8.0, size / 8 - 7);
    return negative ? -number : number;
  }

  DecodeCase c_;
  std::mt19937& random_;
  int32_t max_pages_ = 0;
  int32_t fate_words_ = 0;
  std::vector<int32_t> slot_of_row_;
  std::vector<int64_t> free_pages_;
  std::vector<std::vector<Token>> tokens_;  // that are visible, of each head
  std::vector<std::byte> arena_;
  std::vector<uint32_t> window_table_;
  std::vector<uint32_t> survivor_table_;
  std::vector<int32_t> survivors_;
  std::vector<uint32_t> fates_;
};

}  // namespace dms::cuda
