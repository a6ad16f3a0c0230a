#pragma once
// How few ids a text can become, told by its bytes.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace dms::text {

struct IdBound {
  size_t bytes_per_id = 1;         // the most that one id stands for, of those that count
  std::array<bool, 256> counts{};  // bytes that some id must stand for

  /// Whether `text` becomes more than `most_ids`. Looks at no more of it than it takes to tell.
  bool is_exceeded(std::string_view text, size_t most_ids) const {
    size_t counted = 0;
    for (const char byte : text) {
      if (!counts[static_cast<uint8_t>(byte)]) continue;
      if (++counted / bytes_per_id > most_ids) return true;
    }
    return false;
  }
};

}  // namespace dms::text
