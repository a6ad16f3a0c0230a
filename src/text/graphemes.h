#pragma once
// Text cut into characters as readers see them (extended grapheme clusters), as `tokenizers` cuts
// it.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "text/unicode_tables.h"

namespace dms::text {

/// Finds where the characters of well-formed UTF-8 end, one after the other.
class GraphemeScanner {
 public:
  explicit GraphemeScanner(std::string_view text) : text_(text) {}

  bool is_done() const { return at_ == text_.size(); }
  /// The next character; not to be called when none is left.
  std::string_view next();

 private:
  struct Point {
    uint32_t value;
    GraphemeClass kind;
  };
  Point point_at(size_t offset) const;
  bool joins(Point before, Point after) const;
  void see(Point point);

  std::string_view text_;
  size_t at_ = 0;
  // What the code points of the current character have been, as far as rules look further back.
  bool pictograph_ = false;         // a pictograph and then only what extends it
  bool pictograph_joiner_ = false;  // and then a zero-width joiner
  bool consonant_ = false;          // a consonant and then only what may stand between linked ones
  bool linked_ = false;             // a linker among that
};

}  // namespace dms::text
