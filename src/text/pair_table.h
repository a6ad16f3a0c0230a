#pragma once
// Merges by pair of ids: an open-addressing hash table, immutable once filled.

#include <bit>
#include <cstdint>
#include <vector>

namespace dms::text {

class PairTable {
 public:
  static constexpr uint32_t kNoRank = UINT32_MAX;

  struct Entry {
    uint64_t pair = UINT64_MAX;
    uint32_t rank = kNoRank;
    int32_t result = -1;
  };

  /// Room for `pairs` different pairs.
  explicit PairTable(size_t pairs)
      : entries_(std::bit_ceil(pairs * 2 + 2)), shift_(64 - std::countr_zero(entries_.size())) {}

  /// A pair inserted again takes the new values.
  void insert(int32_t left, int32_t right, uint32_t rank, int32_t result) {
    const uint64_t pair = key(left, right);
    size_t slot = home(pair);
    while (entries_[slot].pair != pair && entries_[slot].rank != kNoRank) slot = after(slot);
    entries_[slot] = {pair, rank, result};
  }

  /// The pair's entry; its rank is kNoRank when the pair does not merge.
  const Entry& find(int32_t left, int32_t right) const {
    const uint64_t pair = key(left, right);
    size_t slot = home(pair);
    while (entries_[slot].pair != pair && entries_[slot].rank != kNoRank) slot = after(slot);
    return entries_[slot];
  }

 private:
  static uint64_t key(int32_t left, int32_t right) {
    return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
  }
  size_t home(uint64_t pair) const {
    return static_cast<size_t>((pair ^ pair >> 29) * 0x9E3779B97F4A7C15u >> shift_);
  }
  size_t after(size_t slot) const { return (slot + 1) & (entries_.size() - 1); }

  std::vector<Entry> entries_;
  int shift_;
};

}  // namespace dms::text
