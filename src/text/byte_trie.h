#pragma once
// Strings with ids, looked up by prefix: nodes in one array, the children of a node side by side.
// Immutable, thread-safe, movable.

#include <cstdint>
#include <string_view>
#include <vector>

namespace dms::text {

class ByteTrie {
 public:
  struct Entry {
    std::string_view text;
    int32_t id;
  };

  /// Empty strings are left out; of equal ones, the one with the largest id stays.
  explicit ByteTrie(std::vector<Entry> entries);

  /// Calls `found(bytes, id)` for every string that `text` begins with, the shortest first.
  template <class Found>
  void for_each_prefix(std::string_view text, const Found& found) const {
    uint32_t node = 0;
    for (size_t at = 0; at < text.size(); ++at) {
      node = child(node, static_cast<uint8_t>(text[at]));
      if (node == 0) return;
      if (nodes_[node].id >= 0) found(at + 1, nodes_[node].id);
    }
  }

 private:
  struct Node {
    uint32_t first_child = 0;
    uint16_t children = 0;
    uint8_t byte = 0;
    int32_t id = -1;
  };

  // The child of `node` by `byte`, or 0.
  uint32_t child(uint32_t node, uint8_t byte) const {
    uint32_t low = nodes_[node].first_child;
    uint32_t count = nodes_[node].children;
    while (count > 0) {
      const uint32_t half = count / 2;
      if (nodes_[low + half].byte < byte) {
        low += half + 1;
        count -= half + 1;
      } else {
        count = half;
      }
    }
    const bool is_there = low < nodes_[node].first_child + nodes_[node].children;
    return is_there && nodes_[low].byte == byte ? low : 0;
  }

  std::vector<Node> nodes_;
};

}  // namespace dms::text
