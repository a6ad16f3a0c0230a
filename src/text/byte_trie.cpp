#include "text/byte_trie.h"

#include <algorithm>
#include <queue>
#include <tuple>

namespace dms::text {

ByteTrie::ByteTrie(std::vector<Entry> entries) : nodes_(1) {
  std::ranges::sort(entries, [](const Entry& a, const Entry& b) {
    return std::tie(a.text, a.id) < std::tie(b.text, b.id);
  });
  // Level by level: a node's strings are neighbours in the sorted list and share `depth` bytes.
  struct Span {
    uint32_t node;
    size_t first;
    size_t last;
    size_t depth;
  };
  std::queue<Span> todo;
  todo.push({0, 0, entries.size(), 0});
  for (; !todo.empty(); todo.pop()) {
    auto [node, first, last, depth] = todo.front();
    for (; first < last && entries[first].text.size() == depth; ++first) {
      if (depth > 0) nodes_[node].id = entries[first].id;
    }
    nodes_[node].first_child = static_cast<uint32_t>(nodes_.size());
    while (first < last) {
      const auto byte = static_cast<uint8_t>(entries[first].text[depth]);
      size_t end = first + 1;
      while (end < last && static_cast<uint8_t>(entries[end].text[depth]) == byte) ++end;
      todo.push({static_cast<uint32_t>(nodes_.size()), first, end, depth + 1});
      nodes_.push_back({.byte = byte});
      ++nodes_[node].children;
      first = end;
    }
  }
}

}  // namespace dms::text
