#pragma once
// UTF-8, both ways. Ill-formed input is replaced as Python's errors="replace" and Rust's
// from_utf8_lossy do: one U+FFFD for each maximal part of a character that could not go on.

#include <cstdint>
#include <string>
#include <string_view>

namespace dms {

constexpr uint32_t kReplacement = 0xFFFD;

struct CodePoint {
  uint32_t value;
  int32_t bytes;     // taken from the text; at least 1
  bool well_formed;  // false: value is U+FFFD
};

/// The code point at `offset` (< text.size()), which is no ASCII character.
CodePoint beyond_ascii_at(std::string_view text, size_t offset);

/// The code point at `offset` (< text.size()).
inline CodePoint code_point_at(std::string_view text, size_t offset) {
  const auto lead = static_cast<uint8_t>(text[offset]);
  return lead < 0x80 ? CodePoint{lead, 1, true} : beyond_ascii_at(text, offset);
}

/// The code point that ends at `end` (> 0) of well-formed text.
CodePoint code_point_before(std::string_view text, size_t end);

/// A control character: C0, DEL or C1.
constexpr bool is_control(uint32_t code_point) {
  return code_point < 0x20 || (code_point >= 0x7f && code_point < 0xa0);
}

/// Appends the UTF-8 of a code point.
void append_utf8(std::string& out, uint32_t code_point);

/// Code points of well-formed text.
size_t count_code_points(std::string_view text);

bool is_well_formed(std::string_view text);

/// `text` with ill-formed parts replaced by U+FFFD.
std::string to_well_formed(std::string_view text);

}  // namespace dms
