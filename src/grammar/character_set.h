#pragma once
// Sets of characters, as the classes of an expression are.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace dms::grammar {

struct CharacterRange {
  uint32_t first;
  uint32_t last;
};

class CharacterSet {
 public:
  CharacterSet() = default;
  explicit CharacterSet(std::span<const CharacterRange> ranges);

  void add(const CharacterSet& other);
  CharacterSet complement() const;
  /// With the other case of each letter of ASCII.
  CharacterSet of_either_case() const;
  /// Those of them that stand in a text of JSON as they are: no quotes, backslashes, control
  /// characters or halves of surrogates.
  CharacterSet plain_in_json() const;

  bool empty() const { return ranges_.empty(); }
  /// As an expression of ASCII alone: a character or a class, of a set that is not empty.
  std::string expression() const;

 private:
  std::vector<CharacterRange> ranges_;  // ascending, with a gap between each two
};

}  // namespace dms::grammar
