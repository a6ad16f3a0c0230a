#pragma once
// Caches of random pages in device memory, for tests of the kernels that write them: what was not
// written holds bytes of 0xff.

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <random>
#include <span>
#include <vector>

#include "base/dtype.h"
#include "cuda/device_buffer.h"
#include "cuda/kernels/cache_view.h"

namespace dms::cuda {

using testing_support::DeviceBuffer;
using testing_support::require_cuda;
using testing_support::wait_for_device;

struct CacheShape {
  int32_t slots = 1;
  int32_t layers = 1;
  int32_t kv_heads = 1;
  int32_t head_dim = 64;
  int32_t ring_pages = 4;
  int32_t max_pages = 4;
  int32_t fate_words = 8;
  KvFormat format = KvFormat::bf16;
  int32_t given = 1000;     // free pages
  uint32_t taken = 0;       // what both counters begin with
  int32_t capacity = 1024;  // of the free list
};

/// Random values of about 1 that bf16 holds exactly.
inline std::vector<float> random_bf16(size_t count, std::mt19937& random) {
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = to_float(to_bf16(normal(random)));
  return values;
}

inline std::vector<uint16_t> bf16_bits(std::span<const float> values) {
  std::vector<uint16_t> bits(values.size());
  std::ranges::transform(values, bits.begin(), [](float x) { return to_bf16(x).bits; });
  return bits;
}

class TestCache {
 public:
  TestCache(const CacheShape& shape, std::mt19937& random) : shape_(shape) {
    place_pages(random);
    survivors_.zero();
    fates_.zero();
    taken_.upload(std::vector{shape.taken});
    given_.upload(std::vector{shape.taken + static_cast<uint32_t>(shape.given)});
    shortage_.zero();
  }

  CacheView view() {
    return {.arena = arena_.get(),
            .layers = shape_.layers,
            .kv_heads = shape_.kv_heads,
            .head_dim = shape_.head_dim,
            .ring_pages = shape_.ring_pages,
            .max_pages = shape_.max_pages,
            .fate_words = shape_.fate_words,
            .survivor_format = shape_.format,
            .window_table = window_table_.get(),
            .survivor_table = survivor_table_.get(),
            .survivors = survivors_.get(),
            .fates = fates_.get(),
            .free = {.pages = free_pages_.get(),
                     .capacity = shape_.capacity,
                     .taken = taken_.get(),
                     .given = given_.get(),
                     .shortage = shortage_.get()}};
  }

  const CacheShape& shape() const { return shape_; }
  int64_t heads() const { return int64_t{shape_.slots} * shape_.layers * shape_.kv_heads; }
  int64_t head(int32_t slot, int32_t layer, int32_t kv_head) const {
    return (int64_t{slot} * shape_.layers + layer) * shape_.kv_heads + kv_head;
  }
  DeviceBuffer<uint32_t>& fates() { return fates_; }
  uint32_t taken() const { return taken_.download()[0] - shape_.taken; }
  bool is_short() const { return shortage_.download()[0] != 0; }
  std::vector<int32_t> survivors() const { return survivors_.download(); }
  std::vector<std::byte> arena() const { return arena_.download(); }
  std::vector<uint32_t> survivor_table() const { return survivor_table_.download(); }
  uint32_t free_page(uint32_t index) const { return free_list_[index % free_list_.size()]; }

  /// Where a token of the window begins in the arena.
  size_t window_place(int64_t head, int32_t token, bool is_value) const {
    const auto page =
        static_cast<size_t>(head * shape_.ring_pages + token / kPageTokens % shape_.ring_pages);
    const int side = is_value ? side_bytes(KvFormat::bf16, shape_.head_dim) : 0;
    return size_t{window_list_[page]} * kPageUnit +
           static_cast<size_t>(side + token % kPageTokens * shape_.head_dim * 2);
  }

  void put_in_window(int64_t head,
                     int32_t token,
                     std::span<const float> key,
                     std::span<const float> value) {
    for (const bool is_value : {false, true}) {
      const std::vector<uint16_t> bits = bf16_bits(is_value ? value : key);
      arena_.upload(std::as_bytes(std::span(bits)), window_place(head, token, is_value));
    }
  }

 private:
  /// All pages in random order, those of windows and survivors mixed.
  void place_pages(std::mt19937& random) {
    const auto windows = static_cast<size_t>(heads() * shape_.ring_pages);
    const auto free_count = static_cast<size_t>(shape_.capacity);
    std::vector<size_t> order(windows + free_count);
    std::iota(order.begin(), order.end(), size_t{0});
    std::ranges::shuffle(order, random);
    window_list_.resize(windows);
    free_list_.resize(free_count);
    uint32_t at = 1;
    for (const size_t index : order) {
      const bool is_window = index < windows;
      (is_window ? window_list_[index] : free_list_[index - windows]) = at;
      const int bytes = page_bytes(is_window ? KvFormat::bf16 : shape_.format, shape_.head_dim);
      at += static_cast<uint32_t>(bytes / kPageUnit);
    }
    arena_ = DeviceBuffer<std::byte>(size_t{at} * kPageUnit);
    window_table_ = DeviceBuffer<uint32_t>(window_list_);
    free_pages_ = DeviceBuffer<uint32_t>(free_list_);
    const auto count = static_cast<size_t>(heads());
    survivor_table_ = DeviceBuffer<uint32_t>(count * static_cast<size_t>(shape_.max_pages));
    survivors_ = DeviceBuffer<int32_t>(count);
    fates_ = DeviceBuffer<uint32_t>(count * static_cast<size_t>(shape_.fate_words));
  }

  CacheShape shape_;
  std::vector<uint32_t> window_list_;
  std::vector<uint32_t> free_list_;
  DeviceBuffer<std::byte> arena_;
  DeviceBuffer<uint32_t> window_table_;
  DeviceBuffer<uint32_t> survivor_table_;
  DeviceBuffer<int32_t> survivors_;
  DeviceBuffer<uint32_t> fates_;
  DeviceBuffer<uint32_t> free_pages_;
  DeviceBuffer<uint32_t> taken_{1};
  DeviceBuffer<uint32_t> given_{1};
  DeviceBuffer<int32_t> shortage_{1};
};

/// Numbers of the sequences in the slots.
struct TestSlots {
  explicit TestSlots(int32_t slots)
      : tokens(static_cast<size_t>(slots)),
        sealed_end(static_cast<size_t>(slots)),
        window(static_cast<size_t>(slots)),
        slack(static_cast<size_t>(slots)),
        replay_end(static_cast<size_t>(slots)) {
    for (DeviceBuffer<int32_t>* part : {&tokens, &sealed_end, &window, &slack, &replay_end}) {
      part->zero();
    }
  }
  SlotView view() {
    return {.tokens = tokens.get(),
            .sealed_end = sealed_end.get(),
            .window = window.get(),
            .slack = slack.get(),
            .replay_end = replay_end.get()};
  }

  DeviceBuffer<int32_t> tokens;
  DeviceBuffer<int32_t> sealed_end;
  DeviceBuffer<int32_t> window;
  DeviceBuffer<int32_t> slack;
  DeviceBuffer<int32_t> replay_end;
};

}  // namespace dms::cuda
