#pragma once
// Window exit beside a model of it on the host: survivors are what kernels::store_token() stores
// and kernels::load_token() reads, in the order of positions, and nothing else is written.

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "cuda/cache_case.h"
#include "cuda/kernels/seal.h"
#include "kernels/kv_page.h"

namespace dms::cuda {

struct SealCase {
  int32_t slots = 1;
  int32_t layers = 1;
  int32_t kv_heads = 2;
  int32_t head_dim = 64;
  int32_t window = 20;
  int32_t slack = 8;
  KvFormat format = KvFormat::bf16;
  double keep = 0.5;
  int32_t given = 200;
  uint32_t taken = 0;
  int32_t max_pages = 8;
  int32_t ring_pages = 0;  // 0: what window and slack take
};

inline constexpr int32_t kFateWords = 10;

/// A token's key and value in one head.
struct TokenPair {
  std::vector<float> key;
  std::vector<float> value;
};

inline kernels::KvFormat cpu_format(KvFormat format) {
  switch (format) {
    case KvFormat::bf16:
      return kernels::KvFormat::bf16;
    case KvFormat::fp8:
      return kernels::KvFormat::fp8;
    case KvFormat::int8:
      break;
  }
  return kernels::KvFormat::int8;
}

/// What a page of the CPU's gives back of a token.
inline TokenPair stored(KvFormat format, int32_t head_dim, const TokenPair& token) {
  const kernels::KvPageLayout layout{.format = cpu_format(format), .head_dim = head_dim};
  std::vector<std::byte> page(static_cast<size_t>(layout.bytes()));
  kernels::store_token(layout, page, 0, token.key, token.value);
  TokenPair read{std::vector<float>(static_cast<size_t>(head_dim)),
                 std::vector<float>(static_cast<size_t>(head_dim))};
  kernels::load_token(layout, page, 0, read.key, read.value);
  return read;
}

inline float number_of(KvFormat format, std::byte code) {
  const auto byte = std::to_integer<uint32_t>(code);
  if (format == KvFormat::int8) return static_cast<float>(static_cast<int8_t>(byte));
  const auto exponent = static_cast<int>(byte >> 3 & 15u);
  const auto mantissa = static_cast<float>(byte & 7u);
  const float size =
      exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(8.0f + mantissa, exponent - 10);
  return (byte & 0x80u) != 0 ? -size : size;
}

inline bool is_same(float a, float b) {
  return std::isnan(a) ? std::isnan(b) : std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b);
}

/// Several sequences on the device and on the host.
class SealProblem {
 public:
  explicit SealProblem(const SealCase& shape, uint32_t seed = 1)
      : c_(shape),
        random_(seed),
        cache_({.slots = shape.slots,
                .layers = shape.layers,
                .kv_heads = shape.kv_heads,
                .head_dim = shape.head_dim,
                .ring_pages = shape.ring_pages > 0 ? shape.ring_pages : ring_of(shape),
                .max_pages = shape.max_pages,
                .fate_words = kFateWords,
                .format = shape.format,
                .given = shape.given,
                .taken = shape.taken,
                .capacity = 256},
               random_),
        slots_(shape.slots),
        tokens_(static_cast<size_t>(cache_.heads())),
        fates_(static_cast<size_t>(cache_.heads() * kFateWords), 0),
        ends_(static_cast<size_t>(shape.slots), 0),
        sealed_(static_cast<size_t>(shape.slots), 0) {
    slots_.window.upload(std::vector<int32_t>(static_cast<size_t>(c_.slots), c_.window));
    slots_.slack.upload(std::vector<int32_t>(static_cast<size_t>(c_.slots), c_.slack));
  }

  TestCache& cache() { return cache_; }

  /// Values that stand among those of the tokens to come.
  void spoil(std::vector<float> values) { spoilt_ = std::move(values); }

  /// One step of the sequences in `slots`: seals, then each gets a token.
  void decode(const std::vector<int32_t>& slots) {
    const DeviceBuffer<int32_t> row_slots(slots);
    const auto rows = static_cast<int32_t>(slots.size());
    const SealParams params{.cache = cache_.view(),
                            .slots = slots_.view(),
                            .rows = {.rows = rows, .decode_rows = rows, .slots = row_slots.get()}};
    require_cuda(seal_windows(params, nullptr));
    wait_for_device();
    for (const int32_t slot : slots) {
      auto& end = ends_[static_cast<size_t>(slot)];
      auto& sealed = sealed_[static_cast<size_t>(slot)];
      sealed = std::max(sealed, exact_begin(end));
      for_heads(slot, [&](int32_t, int64_t head, int32_t) {
        const TokenPair token = append(head);
        cache_.put_in_window(head, end, token.key, token.value);
      });
      ++end;
    }
    cache_.fates().upload(fates_);
    require_cuda(finish_decode(params, nullptr));
    wait_for_device();
  }

  /// A prompt's next `count` tokens.
  void prefill(int32_t slot, int32_t count) {
    auto& end = ends_[static_cast<size_t>(slot)];
    auto& sealed = sealed_[static_cast<size_t>(slot)];
    const int32_t new_sealed = std::max(sealed, exact_begin(end + count));
    for_heads(slot, [&](int32_t, int64_t head, int32_t) {
      for (int32_t i = 0; i < count; ++i) append(head);
    });
    cache_.fates().upload(fates_);
    for (int32_t layer = 0; layer < c_.layers; ++layer) {
      const DeviceBuffer<uint16_t> keys(chunk(slot, layer, end, count, false));
      const DeviceBuffer<uint16_t> values(chunk(slot, layer, end, count, true));
      require_cuda(seal_chunk({.cache = cache_.view(),
                               .slot = slot,
                               .layer = layer,
                               .old_sealed_end = sealed,
                               .sealed_end = new_sealed,
                               .first = end,
                               .count = count,
                               .keys = reinterpret_cast<const __nv_bfloat16*>(keys.get()),
                               .values = reinterpret_cast<const __nv_bfloat16*>(values.get())},
                              nullptr));
      wait_for_device();
    }
    end += count;
    sealed = new_sealed;
    require_cuda(finish_chunk(slots_.view(), slot, end, sealed, nullptr));
    wait_for_device();
  }

  /// All that lies on the device.
  void expect_right() {
    std::vector<std::byte> arena = cache_.arena();
    const std::vector<int32_t> counts = cache_.survivors();
    const std::vector<uint32_t> table = cache_.survivor_table();
    EXPECT_EQ(slots_.tokens.download(), ends_);
    EXPECT_EQ(slots_.sealed_end.download(), sealed_);
    for (int32_t slot = 0; slot < c_.slots; ++slot) {
      for_heads(slot, [&](int32_t, int64_t head, int32_t) {
        SCOPED_TRACE(testing::Message() << "slot " << slot << " head " << head);
        const std::vector<int32_t> kept = kept_tokens(head, sealed_[static_cast<size_t>(slot)]);
        const auto count = static_cast<size_t>(counts[static_cast<size_t>(head)]);
        if (cache_.is_short()) {
          ASSERT_LE(count, kept.size());
          ASSERT_TRUE(count == kept.size() || count % kPageTokens == 0) << count;
        } else {
          ASSERT_EQ(count, kept.size());
        }
        for (size_t entry = 0; entry < count; ++entry) {
          take_survivor(arena, table, head, entry, kept[entry]);
        }
        take_window(arena, slot, head);
      });
    }
    EXPECT_TRUE(std::ranges::all_of(arena, [](std::byte b) { return b == std::byte{0xff}; }))
        << "something was written beside survivors and windows";
  }

  int64_t pages() const {
    int64_t pages = 0;
    for (const int32_t count : cache_.survivors()) pages += (count + kPageTokens - 1) / kPageTokens;
    return pages;
  }

 private:
  static int32_t ring_of(const SealCase& shape) {
    return (shape.window + shape.slack + kPageTokens) / kPageTokens + 1;
  }

  int32_t exact_begin(int32_t tokens) const {
    return static_cast<int32_t>(std::max(int64_t{0}, int64_t{tokens} - c_.window - c_.slack));
  }

  template <class Work>
  void for_heads(int32_t slot, Work work) const {
    for (int32_t layer = 0; layer < c_.layers; ++layer) {
      for (int32_t k = 0; k < c_.kv_heads; ++k) work(layer, cache_.head(slot, layer, k), k);
    }
  }

  const std::vector<TokenPair>& tokens(int64_t head) const {
    return tokens_[static_cast<size_t>(head)];
  }

  /// A new token of a head, with its fate.
  TokenPair append(int64_t head) {
    const auto dim = static_cast<size_t>(c_.head_dim);
    TokenPair token{random_bf16(dim, random_), random_bf16(dim, random_)};
    if (!spoilt_.empty()) {
      const float spoiler = spoilt_[random_() % spoilt_.size()];
      if (random_() % 2 == 0) token.key[random_() % dim] = spoiler;
      if (random_() % 2 == 0) token.value[random_() % dim] = spoiler;
      if (random_() % 4 == 0) std::ranges::fill(token.value, spoiler);
      if (random_() % 4 == 0) {
        for (float& x : token.value) x = spoilt_[random_() % spoilt_.size()];
      }
      if (random_() % 4 == 0) {
        for (float& x : token.key) x = to_float(to_bf16(x * spoiler));
      }
    }
    std::vector<TokenPair>& all = tokens_[static_cast<size_t>(head)];
    const auto at = static_cast<int32_t>(all.size());
    if (std::bernoulli_distribution(1.0 - c_.keep)(random_)) {
      fates_[static_cast<size_t>(head * kFateWords + at / 32)] |= 1u << at % 32;
    }
    all.push_back(token);
    return token;
  }

  std::vector<uint16_t> chunk(
      int32_t slot, int32_t layer, int32_t first, int32_t count, bool is_value) const {
    std::vector<uint16_t> bits;
    for (int32_t i = first; i < first + count; ++i) {
      for (int32_t k = 0; k < c_.kv_heads; ++k) {
        const TokenPair& token = tokens(cache_.head(slot, layer, k))[static_cast<size_t>(i)];
        const std::vector<uint16_t> part = bf16_bits(is_value ? token.value : token.key);
        bits.insert(bits.end(), part.begin(), part.end());
      }
    }
    return bits;
  }

  std::vector<int32_t> kept_tokens(int64_t head, int32_t end) const {
    std::vector<int32_t> kept;
    for (int32_t i = 0; i < end; ++i) {
      const uint32_t word = fates_[static_cast<size_t>(head * kFateWords + i / 32)];
      if ((word >> i % 32 & 1u) == 0) kept.push_back(i);
    }
    return kept;
  }

  /// Compares an entry and makes its bytes 0xff again.
  void take_survivor(std::vector<std::byte>& arena,
                     const std::vector<uint32_t>& table,
                     int64_t head,
                     size_t entry,
                     int32_t token) const {
    const size_t page = static_cast<size_t>(head) * static_cast<size_t>(c_.max_pages) + entry / 32;
    std::byte* bytes = arena.data() + size_t{table[page]} * kPageUnit;
    const TokenPair expected =
        stored(c_.format, c_.head_dim, tokens(head)[static_cast<size_t>(token)]);
    const auto place = static_cast<int32_t>(entry % 32);
    for (const bool is_value : {false, true}) {
      const std::vector<float> got = take_side(bytes, place, is_value);
      const std::vector<float>& want = is_value ? expected.value : expected.key;
      for (size_t c = 0; c < want.size(); ++c) {
        ASSERT_TRUE(is_same(got[c], want[c]))
            << "entry " << entry << " of token " << token << (is_value ? " value" : " key")
            << " channel " << c << ": got " << got[c] << ", expected " << want[c];
      }
    }
  }

  std::vector<float> take_side(std::byte* page, int32_t place, bool is_value) const {
    const int side = side_bytes(c_.format, c_.head_dim);
    const int element = element_bytes(c_.format);
    std::byte* at = page + (is_value ? side : 0) + place * c_.head_dim * element;
    std::vector<float> x(static_cast<size_t>(c_.head_dim));
    if (c_.format == KvFormat::bf16) {
      std::vector<BFloat16> bits(x.size());
      std::memcpy(bits.data(), at, 2 * bits.size());
      std::ranges::transform(bits, x.begin(), to_float);
    } else {
      std::byte* scale_at = page + 2 * side + (is_value ? 2 * kPageTokens : 0) + 2 * place;
      BFloat16 scale;
      std::memcpy(&scale, scale_at, 2);
      std::memset(scale_at, 0xff, 2);
      for (size_t c = 0; c < x.size(); ++c) x[c] = to_float(scale) * number_of(c_.format, at[c]);
    }
    std::memset(at, 0xff, static_cast<size_t>(c_.head_dim * element));
    return x;
  }

  /// The exact tokens, and what the ring still holds of those before.
  void take_window(std::vector<std::byte>& arena, int32_t slot, int64_t head) const {
    const int32_t ring = cache_.shape().ring_pages * kPageTokens;
    const int32_t end = ends_[static_cast<size_t>(slot)];
    for (int32_t token = std::max(0, end - ring); token < end; ++token) {
      for (const bool is_value : {false, true}) {
        const TokenPair& pair = tokens(head)[static_cast<size_t>(token)];
        const std::vector<uint16_t> want = bf16_bits(is_value ? pair.value : pair.key);
        std::vector<uint16_t> got(want.size());
        std::byte* at = arena.data() + cache_.window_place(head, token, is_value);
        std::memcpy(got.data(), at, 2 * got.size());
        std::memset(at, 0xff, 2 * got.size());
        if (token < sealed_[static_cast<size_t>(slot)]) continue;
        ASSERT_EQ(got, want) << "window token " << token;
      }
    }
  }

  SealCase c_;
  std::mt19937 random_;
  TestCache cache_;
  TestSlots slots_;
  std::vector<std::vector<TokenPair>> tokens_;  // of each head
  std::vector<uint32_t> fates_;
  std::vector<int32_t> ends_;    // of each slot
  std::vector<int32_t> sealed_;  // likewise
  std::vector<float> spoilt_;
};

inline constexpr KvFormat kFormats[] = {KvFormat::bf16, KvFormat::fp8, KvFormat::int8};

}  // namespace dms::cuda
