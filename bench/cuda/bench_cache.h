#pragma once
// Compact caches as a running program leaves them, made at once: pages scattered over the arena,
// heads of different length, fates that agree with a share kept.

#include <cstdint>
#include <vector>

#include "cuda/kernels/cache_view.h"
#include "cuda/memory.h"

namespace dms::bench {

struct CacheRequest {
  int32_t slots = 1;
  int32_t layers = 1;
  int32_t kv_heads = 0;
  int32_t head_dim = 0;
  int32_t window = 0;
  int32_t slack = 0;
  int32_t tokens = 0;       // computed, in each slot
  int32_t more_tokens = 0;  // that tables have room for besides
  double keep = 1.0;        // of the tokens before the window
  cuda::KvFormat format = cuda::KvFormat::bf16;
  int32_t free_pages = 0;  // given to the device for what is to be sealed
};

class BenchCache {
 public:
  BenchCache(const CacheRequest& request, cudaStream_t stream);

  const cuda::CacheView& view() const { return view_; }
  const cuda::SlotView& slots() const { return slots_; }
  /// One row for each of the first `rows` slots, decoding the token after the last.
  cuda::RowView decode_rows(int32_t rows) const;
  /// `count` rows of slot 0, from position `first` on.
  cuda::RowView prompt_rows(int32_t first, int32_t count) const;

  int32_t sealed_end() const { return sealed_end_; }
  /// Survivors of all heads, of the first `slots` slots.
  int64_t survivors(int32_t slots) const;
  /// Everything a decode step's attention must read for `slots` sequences in all layers: each
  /// entry once, and a table's entry for each page.
  double read_bytes(int32_t slots) const;
  /// Survivors, window and free pages are what they were at the beginning.
  cudaError_t restore(cudaStream_t stream) const;

 private:
  void take_memory();
  void place_pages();
  void make_slots();

  CacheRequest request_;
  int32_t sealed_end_ = 0;
  int64_t survivor_pages_ = 0;          // taken by survivors
  std::vector<int32_t> lengths_;        // [heads] survivors
  std::vector<uint32_t> window_table_;  // [heads, ring_pages]
  std::vector<uint32_t> survivor_table_;
  std::vector<uint32_t> free_;  // pages for the device
  cuda::CacheView view_{};
  cuda::SlotView slots_{};
  cuda::DeviceBuffer arena_, tables_, counters_, kept_counters_, rows_;
};

}  // namespace dms::bench
