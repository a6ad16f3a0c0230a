#pragma once
// How 32 tokens of one KV head lie in memory: the unit of the cache and of every attention kernel.
//
// A page holds kPageTokens = 32 tokens: first the side of their keys, then that of their values,
// each in the order in which the kernels broadcast and multiply (p = 4 / sizeof(element) for f32
// and bf16, which lie there as they are):
//   keys    [head_dim_padded / p][32][p]   so q . k for 16 tokens is a chain of vector FMAs over
//                                          channels, without a horizontal sum
//   values  [32 / p][head_dim_padded][p]   so the weighted sum over tokens is the same chain
//   the other formats hold codes in bf16's order (p = 2; kv_codes.h), then a bf16 scale for each
//   token of the side
// head_dim_padded is head_dim rounded up to 16 (a vector), or 32 (two) where codes stand for pairs.
// 32 tokens: the visibility of a page to one query is one 32-bit word, two vectors of scores are
// enough work per load, and half-empty pages waste at most 31 tokens a head (docs/decisions).

#include <cstdint>
#include <span>

#include "kernels/kv_format.h"

namespace dms::kernels {

inline constexpr int64_t kPageTokens = 32;

/// Sizes of one head's page.
struct KvPageLayout {
  PageFormat format = KvFormat::bf16;
  int64_t head_dim = 0;

  int64_t head_dim_padded() const;
  int64_t bytes() const;
  bool operator==(const KvPageLayout&) const = default;
};

/// Stores `key` and `value` (float32 [head_dim]) as token `slot` of a page. When slot is 0 the
/// whole page is zeroed first, so that padding channels and unused tokens never hold garbage (0 *
/// NaN).
void store_token(const KvPageLayout& layout,
                 std::span<std::byte> page,
                 int64_t slot,
                 std::span<const float> key,
                 std::span<const float> value);

/// Tokens on their way into a page: float32 rows of head_dim channels, `token_stride` floats apart.
struct TokenRows {
  std::span<const float> keys;    // token i's key begins at i * token_stride
  std::span<const float> values;  // likewise
  int64_t token_stride = 0;
  int64_t count = 0;
};

/// store_token() for the slots first_slot, first_slot + 1, …: fills a page from a chunk of prefill.
/// Zeroes the page first when first_slot is 0.
void store_tokens(const KvPageLayout& layout,
                  std::span<std::byte> page,
                  int64_t first_slot,
                  const TokenRows& tokens);

/// Reads token `slot` back as float32 [head_dim].
void load_token(const KvPageLayout& layout,
                std::span<const std::byte> page,
                int64_t slot,
                std::span<float> key,
                std::span<float> value);

/// Copies token `from_slot` of `from` to `to_slot` of `to`; both pages have `layout`. Zeroes `to`
/// first when to_slot is 0.
void copy_token(const KvPageLayout& layout,
                std::span<const std::byte> from,
                int64_t from_slot,
                std::span<std::byte> to,
                int64_t to_slot);

/// copy_token() into a page whose other tokens stay whatever to_slot is; `to` may be `from`.
void overwrite_token(const KvPageLayout& layout,
                     std::span<const std::byte> from,
                     int64_t from_slot,
                     std::span<std::byte> to,
                     int64_t to_slot);

}  // namespace dms::kernels
