#pragma once
// A chunk's attention on the device beside the definition of semantics.md section 1 in doubles: a
// cache in pages of random order, in which everything that no query may see is NaN.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include <cuda_bf16.h>
#include <gtest/gtest.h>

#include "cuda/kernels/prefill_attention.h"
#include "device_buffer.h"

namespace dms::cuda {

struct PrefillCase {
  int32_t head_dim = 64;
  int32_t kv_heads = 2;
  int32_t group = 2;
  int32_t window = 16;
  int32_t sealed_end = 0;
  int32_t first = 0;
  int32_t count = 1;
  int32_t survivors = 0;  // of KV head 0; each further head has a third of the one before
  KvFormat format = KvFormat::bf16;
  double keep = 0.5;  // share of kept tokens
  float score_scale = 1.0f;
};

inline std::string describe(const PrefillCase& c) {
  return "head_dim " + std::to_string(c.head_dim) + " kv_heads " + std::to_string(c.kv_heads) +
         " group " + std::to_string(c.group) + " window " + std::to_string(c.window) + " sealed " +
         std::to_string(c.sealed_end) + " first " + std::to_string(c.first) + " count " +
         std::to_string(c.count) + " survivors " + std::to_string(c.survivors) + " format " +
         std::to_string(static_cast<int>(c.format)) + " keep " + std::to_string(c.keep);
}

class PrefillProblem {
 public:
  explicit PrefillProblem(const PrefillCase& shape, uint32_t seed = 1) : c_(shape), random_(seed) {
    make_fates();
    make_pages();
    make_chunk();
  }

  using Attention = cudaError_t (*)(const PrefillAttentionParams&, cudaStream_t);

  /// Runs the kernel and compares all that it gives.
  void expect_right(Attention attention) {
    const std::vector<__nv_bfloat16> out = run(attention);
    for (int32_t t = 0; t < c_.count; ++t) {
      for (int32_t q_head = 0; q_head < q_heads(); ++q_head) {
        if (!expect_row(out.data() + row_of(t, q_head), t, q_head)) return;
      }
    }
  }

  std::vector<__nv_bfloat16> run(Attention attention) {
    testing_support::DeviceBuffer<std::byte> arena(arena_);
    testing_support::DeviceBuffer<uint32_t> window_table(window_table_);
    testing_support::DeviceBuffer<uint32_t> survivor_table(survivor_table_);
    testing_support::DeviceBuffer<int32_t> survivors(survivors_);
    testing_support::DeviceBuffer<uint32_t> fates(fates_);
    testing_support::DeviceBuffer<__nv_bfloat16> queries(queries_);
    testing_support::DeviceBuffer<__nv_bfloat16> keys(keys_);
    testing_support::DeviceBuffer<__nv_bfloat16> values(values_);
    testing_support::DeviceBuffer<__nv_bfloat16> out(queries_.size());
    PrefillAttentionParams p;
    p.cache = {.arena = arena.get(),
               .layers = kLayers,
               .kv_heads = c_.kv_heads,
               .head_dim = c_.head_dim,
               .ring_pages = ring_pages_,
               .max_pages = max_pages_,
               .fate_words = fate_words_,
               .survivor_format = c_.format,
               .window_table = window_table.get(),
               .survivor_table = survivor_table.get(),
               .survivors = survivors.get(),
               .fates = fates.get()};
    p.slot = kSlot;
    p.layer = kLayer;
    p.q_heads = q_heads();
    p.window = c_.window;
    p.sealed_end = c_.sealed_end;
    p.first = c_.first;
    p.count = c_.count;
    p.score_scale = c_.score_scale;
    p.queries = queries.get();
    p.keys = keys.get();
    p.values = values.get();
    p.out = out.get();
    testing_support::DeviceBuffer<std::byte> workspace(
        static_cast<size_t>(prefill_workspace_bytes(p)));
    p.workspace = workspace.get();
    testing_support::require_cuda(attention(p, nullptr));
    return out.download();
  }

 private:
  static constexpr int32_t kSlots = 2;
  static constexpr int32_t kLayers = 2;
  static constexpr int32_t kSlot = 1;
  static constexpr int32_t kLayer = 1;
  static constexpr uint32_t kNoPage = 0xffffffffu;

  struct Token {
    std::vector<double> key;
    std::vector<double> value;
  };
  struct Head {
    std::vector<Token> survivors;
    std::vector<Token> exact;
    std::vector<bool> kept;  // of exact
  };

  int32_t q_heads() const { return c_.kv_heads * c_.group; }
  size_t row_of(int32_t t, int32_t q_head) const {
    return static_cast<size_t>((t * q_heads() + q_head) * c_.head_dim);
  }
  size_t head_of(int32_t kv_head) const {
    return static_cast<size_t>((kSlot * kLayers + kLayer) * c_.kv_heads + kv_head);
  }
  __nv_bfloat16 draw(double deviation) {
    return __float2bfloat16(
        static_cast<float>(std::normal_distribution<double>(0.0, deviation)(random_)));
  }

  void make_fates() {
    heads_.resize(static_cast<size_t>(c_.kv_heads));
    fate_words_ = (c_.first + c_.count + 31) / 32;
    const size_t all_heads = static_cast<size_t>(kSlots * kLayers * c_.kv_heads);
    fates_.assign(all_heads * static_cast<size_t>(fate_words_), 0xaaaaaaaau);
    survivors_.assign(all_heads, 1000000);
    int32_t survivors = c_.survivors;
    for (int32_t kv_head = 0; kv_head < c_.kv_heads; ++kv_head, survivors /= 3) {
      Head& head = heads_[static_cast<size_t>(kv_head)];
      survivors_[head_of(kv_head)] = survivors;
      head.survivors.resize(static_cast<size_t>(survivors));
      head.exact.resize(static_cast<size_t>(c_.first + c_.count - c_.sealed_end));
      uint32_t* words = fates_.data() + head_of(kv_head) * static_cast<size_t>(fate_words_);
      for (int32_t i = 0; i < c_.first + c_.count; ++i) {
        const bool is_kept = std::uniform_real_distribution<double>(0.0, 1.0)(random_) < c_.keep;
        const uint32_t bit = 1u << i % 32;
        words[i / 32] = is_kept ? words[i / 32] & ~bit : words[i / 32] | bit;
        if (i >= c_.sealed_end) head.kept.push_back(is_kept);
      }
    }
  }

  /// Pages lie in an order of chance, with one that nobody has between two.
  void make_pages() {
    ring_pages_ = (c_.first - c_.sealed_end + 31) / 32 + 1;
    max_pages_ = (c_.survivors + 31) / 32 + 1;
    const size_t all_heads = static_cast<size_t>(kSlots * kLayers * c_.kv_heads);
    window_table_.assign(all_heads * static_cast<size_t>(ring_pages_), kNoPage);
    survivor_table_.assign(all_heads * static_cast<size_t>(max_pages_), kNoPage);
    const int page =
        std::max(page_bytes(KvFormat::bf16, c_.head_dim), page_bytes(c_.format, c_.head_dim));
    std::vector<uint32_t> places;
    for (int32_t i = 0; i < c_.kv_heads * (ring_pages_ + max_pages_); ++i) {
      places.push_back(static_cast<uint32_t>((2 * i + 1) * (page / kPageUnit)));
    }
    arena_.assign((2 * places.size() + 1) * static_cast<size_t>(page), std::byte{0xff});
    std::shuffle(places.begin(), places.end(), random_);
    for (int32_t kv_head = 0; kv_head < c_.kv_heads; ++kv_head) {
      Head& head = heads_[static_cast<size_t>(kv_head)];
      for (size_t j = 0; j < head.survivors.size(); ++j) {
        uint32_t& place =
            survivor_table_[head_of(kv_head) * static_cast<size_t>(max_pages_) + j / 32];
        if (place == kNoPage) place = take(places);
        head.survivors[j] = store(place, j % 32, c_.format);
      }
      for (int32_t i = c_.sealed_end; i < c_.first; ++i) {
        uint32_t& place = window_table_[head_of(kv_head) * static_cast<size_t>(ring_pages_) +
                                        static_cast<size_t>(i / 32 % ring_pages_)];
        if (place == kNoPage) place = take(places);
        head.exact[static_cast<size_t>(i - c_.sealed_end)] =
            store(place, static_cast<size_t>(i % 32), KvFormat::bf16);
      }
    }
  }

  static uint32_t take(std::vector<uint32_t>& places) {
    const uint32_t place = places.back();
    places.pop_back();
    return place;
  }

  void make_chunk() {
    const size_t kv_row = static_cast<size_t>(c_.kv_heads * c_.head_dim);
    for (size_t i = 0; i < static_cast<size_t>(c_.count) * kv_row; ++i) {
      keys_.push_back(draw(1.0));
      values_.push_back(draw(1.0));
    }
    const double deviation = 2.0 / std::sqrt(c_.head_dim) / c_.score_scale;
    for (size_t i = 0; i < row_of(c_.count, 0); ++i) queries_.push_back(draw(deviation));
    for (int32_t t = 0; t < c_.count; ++t) {
      for (int32_t kv_head = 0; kv_head < c_.kv_heads; ++kv_head) {
        Token& token = heads_[static_cast<size_t>(kv_head)]
                           .exact[static_cast<size_t>(c_.first + t - c_.sealed_end)];
        const auto from = static_cast<std::ptrdiff_t>(static_cast<size_t>(t) * kv_row +
                                                      static_cast<size_t>(kv_head * c_.head_dim));
        for (int32_t d = 0; d < c_.head_dim; ++d) {
          token.key.push_back(__bfloat162float(keys_[static_cast<size_t>(from + d)]));
          token.value.push_back(__bfloat162float(values_[static_cast<size_t>(from + d)]));
        }
      }
    }
  }

  Token store(uint32_t place, size_t entry, KvFormat format) {
    std::byte* page = arena_.data() + static_cast<size_t>(place) * kPageUnit;
    const size_t side = static_cast<size_t>(side_bytes(format, c_.head_dim));
    return {store_side(page, page + 2 * side, entry, format),
            store_side(page + side, page + 2 * side + 64, entry, format)};
  }

  std::vector<double> store_side(std::byte* data,
                                 std::byte* scales,
                                 size_t entry,
                                 KvFormat format) {
    std::vector<double> numbers;
    const size_t from = entry * static_cast<size_t>(c_.head_dim);
    if (format == KvFormat::bf16) {
      for (size_t d = 0; d < static_cast<size_t>(c_.head_dim); ++d) {
        const __nv_bfloat16 x = draw(1.0);
        std::memcpy(data + (from + d) * 2, &x, 2);
        numbers.push_back(__bfloat162float(x));
      }
      return numbers;
    }
    const double spread = format == KvFormat::int8 ? 0.016 : 0.02;
    const __nv_bfloat16 scale = __float2bfloat16(
        static_cast<float>(spread * (1.0 + static_cast<double>(random_() % 100) / 100.0)));
    std::memcpy(scales + entry * 2, &scale, 2);
    for (size_t d = 0; d < static_cast<size_t>(c_.head_dim); ++d) {
      const uint8_t code = draw_code(format);
      std::memcpy(data + from + d, &code, 1);
      numbers.push_back(__bfloat162float(scale) * number_of(format, code));
    }
    return numbers;
  }

  /// Any code that conversion gives: no NaN, no subnormal; not -128.
  uint8_t draw_code(KvFormat format) {
    for (;;) {
      const auto code = static_cast<uint8_t>(random_() % 256);
      const int size = code & 0x7f;
      if (format == KvFormat::int8 ? code != 0x80 : size != 0x7f && (size == 0 || size > 7)) {
        return code;
      }
    }
  }
  static double number_of(KvFormat format, uint8_t code) {
    if (format == KvFormat::int8) return static_cast<int8_t>(code);
    const int exponent = code >> 3 & 15;
    const double size = exponent == 0 ? 0.0 : std::ldexp(8 + (code & 7), exponent - 10);
    return code & 0x80 ? -size : size;
  }

  /// visible(t, i) of the definition; survivors are what is kept of the tokens before.
  bool is_visible(const Head& head, int32_t t, int32_t i) const {
    return i <= t && (t - i <= c_.window || head.kept[static_cast<size_t>(i)]);
  }

  bool expect_row(const __nv_bfloat16* got, int32_t t, int32_t q_head) const {
    const Head& head = heads_[static_cast<size_t>(q_head / c_.group)];
    std::vector<const Token*> seen;
    for (const Token& token : head.survivors) seen.push_back(&token);
    const int32_t own = c_.first + t - c_.sealed_end;
    for (int32_t i = 0; i <= own; ++i) {
      if (is_visible(head, own, i)) seen.push_back(&head.exact[static_cast<size_t>(i)]);
    }
    std::vector<double> weights;
    for (const Token* token : seen) {
      double score = 0.0;
      for (int32_t d = 0; d < c_.head_dim; ++d) {
        score += __bfloat162float(queries_[row_of(t, q_head) + static_cast<size_t>(d)]) *
                 token->key[static_cast<size_t>(d)];
      }
      weights.push_back(score * c_.score_scale);
    }
    const double highest = *std::ranges::max_element(weights);
    double total = 0.0;
    for (double& weight : weights) total += weight = std::exp(weight - highest);
    for (size_t d = 0; d < static_cast<size_t>(c_.head_dim); ++d) {
      double sum = 0.0;
      double size = 0.0;
      for (size_t i = 0; i < seen.size(); ++i) {
        sum += weights[i] / total * seen[i]->value[d];
        size += weights[i] / total * std::abs(seen[i]->value[d]);
      }
      // Weights and results are rounded to bf16, by 2^-8 of each at most.
      const double error = std::abs(__bfloat162float(got[d]) - sum);
      if (error <= (size + std::abs(sum)) / 256 + 1e-6) continue;
      ADD_FAILURE() << describe(c_) << ": row " << t << " head " << q_head << " channel " << d
                    << ": got " << __bfloat162float(got[d]) << ", expected " << sum;
      return false;
    }
    return true;
  }

  PrefillCase c_;
  std::mt19937 random_;
  int32_t ring_pages_ = 0;
  int32_t max_pages_ = 0;
  int32_t fate_words_ = 0;
  std::vector<Head> heads_;
  std::vector<std::byte> arena_;
  std::vector<uint32_t> window_table_;
  std::vector<uint32_t> survivor_table_;
  std::vector<int32_t> survivors_;
  std::vector<uint32_t> fates_;
  std::vector<__nv_bfloat16> queries_;
  std::vector<__nv_bfloat16> keys_;
  std::vector<__nv_bfloat16> values_;
};

}  // namespace dms::cuda
