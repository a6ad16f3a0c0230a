#pragma once
// Classes of code points, as fast table lookups and as sets for patterns.
// Thread-safe; the table is built on first use.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/unicode_tables.h"

namespace dms::text {

/// Inclusive ranges, sorted, not touching.
struct CodePointRange {
  uint32_t first;
  uint32_t last;
};
using CodePointSet = std::vector<CodePointRange>;

/// Bits of every code point, indexed by it (see unicode_tables.h). Fetch once per loop.
const uint16_t* code_point_bits();

inline bool is_letter(uint16_t bits) { return (bits & kCategoryMask) < 5; }  // Lu Ll Lt Lm Lo
inline bool is_number(uint16_t bits) {                                       // Nd Nl No
  return (bits & kCategoryMask) - 8u < 3u;
}
inline bool is_space(uint16_t bits) { return (bits & kSpace) != 0; }

/// Well-formed `text` in lower case, code point by code point.
std::string to_lowercase(std::string_view text);

/// Well-formed `text` in lower case as Python's str.lower() has it: a final capital sigma becomes
/// the small one that words end with.
std::string to_lowercase_in_words(std::string_view text);

/// Code points of a general category ("Lu") or a group of them ("L"); nothing for other names.
std::optional<CodePointSet> category_set(std::string_view name);

/// Code points that have a flag of unicode_tables.h.
CodePointSet flag_set(uint16_t flag);

/// All code points outside `set`; surrogates, which UTF-8 cannot hold, are in neither.
CodePointSet complement(const CodePointSet& set);

/// Sorts and joins ranges.
CodePointSet normalized(CodePointSet set);

}  // namespace dms::text
