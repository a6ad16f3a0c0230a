#pragma once
// What Hugging Face's `tokenizers` believes about every code point, unpacked from packed_unicode.h:
// its parts follow different Unicode versions (the regex engine 16.0, normal forms 9.0), and equal
// ids need equal classes. unicode.h gives fast access. Thread-safe.

#include <cstdint>
#include <span>
#include <vector>

namespace dms::text {

/// Bits of a code point: the index of its general category (order of kCategoryNames) and flags.
constexpr uint16_t kCategoryMask = 0x1f;
constexpr uint16_t kRegexWord = 0x20;       // \w in patterns
constexpr uint16_t kAddedWord = 0x40;       // part of a word for single_word and Whitespace
constexpr uint16_t kNumeric = 0x80;         // cut out by Digits
constexpr uint16_t kPunctuation = 0x100;    // cut out by Punctuation
constexpr uint16_t kSpace = 0x200;          // \s, and what lstrip, rstrip and Strip remove
constexpr uint16_t kCombiningMark = 0x400;  // removed by StripAccents
constexpr uint16_t kGraphemeShift = 12;     // the four highest bits: a GraphemeClass

/// How a code point joins its neighbours to one character as readers see it, as far as that is not
/// computed (Hangul) or a single code point (CR, LF, the zero-width joiner).
enum class GraphemeClass : uint8_t {
  other,
  control,     // stands alone
  extend,      // joins what is before it
  linker,      // the same, and links consonants
  apart,       // the same, but consonants are not linked across it
  spacing,     // joins what is before it, but nothing is linked across it
  prepend,     // joins what is after it
  pictograph,  // joined to another by a zero-width joiner
  consonant,   // joined to another by a linker
};

/// All code points from `first` up to the next run's.
struct CodePointRun {
  uint32_t first;
  uint16_t bits;
};

struct CombiningClass {
  uint32_t code_point;
  uint8_t value;
};

/// Full decomposition, in order. Hangul is left to arithmetic.
struct Decomposition {
  uint32_t code_point;
  bool is_canonical;  // otherwise for compatibility, instead of a canonical one
  std::vector<uint32_t> parts;
};

struct Composition {
  uint32_t first;
  uint32_t second;
  uint32_t composed;
};

struct LowercaseMapping {
  uint32_t code_point;
  uint32_t lower;
};

std::span<const CodePointRun> code_point_runs();         // sorted by first
std::span<const CombiningClass> combining_classes();     // sorted by code_point, values > 0
std::span<const Decomposition> decompositions();         // canonical ones, then the others
std::span<const Composition> compositions();             // in no order
std::span<const LowercaseMapping> lowercase_mappings();  // sorted by code_point

}  // namespace dms::text
