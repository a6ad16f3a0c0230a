#pragma once
// How the compact caches of all resident sequences lie in device memory: what every kernel that
// reads or writes keys and values is given. Plain data for host and device.
//
// A sequence that computes has a slot. Each (slot, layer, KV head) is a *head*, numbered
// (slot * layers + layer) * kv_heads + kv_head, with
// - a window: the tokens [sealed end, tokens), exact, in bf16, in a ring of pages; token i lies in
//   page (i / 32) % ring_pages of its head's row of window_table, at place i % 32;
// - survivors: the kept tokens before the sealed end, by rising position, in survivor_format; entry
//   j lies in page j / 32 of its head's row of survivor_table, at place j % 32.
// All heads of a sequence have one sealed end: a step that begins with `tokens` tokens computed
// seals up to max(0, tokens - window - slack) before it attends (semantics.md section 1).

#include <cstddef>
#include <cstdint>

#include "cuda/kernels/device.h"

namespace dms::cuda {

inline constexpr int kPageTokens = 32;
/// Pages begin at multiples of this; tables hold (address - arena) / kPageUnit.
inline constexpr int kPageUnit = 256;

enum class KvFormat : int32_t {
  bf16,
  fp8,   // E4M3, a bf16 scale per token and side; as kernels::KvFormat::fp8
  int8,  // symmetric, a bf16 scale likewise; as kernels::KvFormat::int8
};

DMS_HOST_DEVICE constexpr int element_bytes(KvFormat format) {
  return format == KvFormat::bf16 ? 2 : 1;
}

/// A page: keys [32, head_dim], values [32, head_dim], then, but for bf16, the keys' scales [32]
/// and the values' [32].
DMS_HOST_DEVICE constexpr int side_bytes(KvFormat format, int head_dim) {
  return kPageTokens * head_dim * element_bytes(format);
}
DMS_HOST_DEVICE constexpr int page_bytes(KvFormat format, int head_dim) {
  const int scales = format == KvFormat::bf16 ? 0 : 2 * kPageTokens * 2;
  const int bytes = 2 * side_bytes(format, head_dim) + scales;
  return (bytes + kPageUnit - 1) / kPageUnit * kPageUnit;
}

/// Pages that the host gives ahead of need and the device takes inside a step. Both only count up;
/// page n lies at pages[n % capacity]. The counts wrap around at 2^32, so that the capacity is a
/// power of two. `given` and `pages` change between kernels alone (a copy on their stream): a
/// kernel that takes relies on them.
struct FreePages {
  const uint32_t* pages = nullptr;  // [capacity]
  int32_t capacity = 0;
  uint32_t* taken = nullptr;        // how many the device has taken, ever
  const uint32_t* given = nullptr;  // how many the host has given, ever
  int32_t* shortage = nullptr;      // becomes 1 where one was wanted and none was there
};

struct CacheView {
  std::byte* arena = nullptr;
  int32_t layers = 0;
  int32_t kv_heads = 0;
  int32_t head_dim = 0;    // 64, 80, 96 or 128
  int32_t ring_pages = 0;  // of a head's window
  int32_t max_pages = 0;   // of a head's survivors
  int32_t fate_words = 0;  // of a head's fates
  KvFormat survivor_format = KvFormat::bf16;
  uint32_t* window_table = nullptr;    // [heads, ring_pages]
  uint32_t* survivor_table = nullptr;  // [heads, max_pages]
  int32_t* survivors = nullptr;        // [heads] entries
  uint32_t* fates = nullptr;           // [heads, fate_words], bit i % 32 of word i / 32: 1: evicted
  FreePages free{};                    // of survivors
};

/// What differs between the sequences in the slots. [slots] each, in device memory.
struct SlotView {
  int32_t* tokens = nullptr;      // computed before the step
  int32_t* sealed_end = nullptr;  // after the step's sealing
  int32_t* window = nullptr;      // W: a query at t sees every token with t - i <= W
  int32_t* slack = nullptr;       // R: tokens beyond the window that stay exact
  // Fates of tokens before it are not decided but stand in CacheView::fates already: those of a
  // `forced` policy, or of a sequence that is computed again.
  int32_t* replay_end = nullptr;
};

/// The tokens of a step, one row each: first the rows of sequences that decode, one row a sequence,
/// then each prompt's. [rows] each, in device memory.
struct RowView {
  int32_t rows = 0;
  int32_t decode_rows = 0;  // of them, the first ones
  const int32_t* tokens = nullptr;
  const int32_t* positions = nullptr;
  const int32_t* slots = nullptr;
};

DMS_HOST_DEVICE inline int64_t head_index(const CacheView& cache,
                                          int32_t slot,
                                          int32_t layer,
                                          int32_t kv_head) {
  return (static_cast<int64_t>(slot) * cache.layers + layer) * cache.kv_heads + kv_head;
}

}  // namespace dms::cuda
