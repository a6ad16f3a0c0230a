#pragma once
// Words seen before and their ids. Bounded: when its memory is full it forgets everything and
// starts again, which costs less than keeping an order of use. One thread at a time.

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace dms::text {

class WordCache {
 public:
  static constexpr size_t kMaxWordBytes = 64;

  /// The ids stored for `word`, or nothing (null data). Valid until the next insert.
  std::span<const int32_t> find(std::string_view word, uint64_t hash) const;

  /// Stores a word of at most kMaxWordBytes.
  void insert(std::string_view word, uint64_t hash, std::span<const int32_t> ids);

  static uint64_t hash(std::string_view word);

 private:
  static constexpr size_t kSlots = size_t{1} << 15;
  static constexpr size_t kArenaBytes = size_t{1} << 20;

  struct Slot {
    uint64_t hash = 0;
    uint32_t word_at = 0;
    uint32_t ids_at = 0;
    uint16_t word_bytes = 0;
    uint16_t ids = 0;
  };

  void clear();

  std::vector<Slot> slots_;
  std::vector<char> words_;
  std::vector<int32_t> ids_;
};

}  // namespace dms::text
