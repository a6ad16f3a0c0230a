#include "base/utf8.h"

#include <algorithm>
#include <cstring>

namespace dms {
namespace {

constexpr CodePoint broken(int32_t bytes) { return {kReplacement, bytes, false}; }

// Smallest and largest allowed second byte: they exclude overlong forms, surrogates and values
// above U+10FFFF.
bool second_byte_fits(uint8_t lead, uint8_t second) {
  switch (lead) {
    case 0xE0:
      return second >= 0xA0 && second <= 0xBF;
    case 0xED:
      return second >= 0x80 && second <= 0x9F;
    case 0xF0:
      return second >= 0x90 && second <= 0xBF;
    case 0xF4:
      return second >= 0x80 && second <= 0x8F;
    default:
      return second >= 0x80 && second <= 0xBF;
  }
}

int32_t expected_bytes(uint8_t lead) {
  if (lead < 0xC2 || lead > 0xF4) return 0;
  return lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

// First offset of a byte above 0x7F, or the size.
size_t ascii_prefix(std::string_view text, size_t offset) {
  uint64_t word = 0;
  while (offset + sizeof word <= text.size()) {
    std::memcpy(&word, text.data() + offset, sizeof word);
    if ((word & 0x8080808080808080u) != 0) break;
    offset += sizeof word;
  }
  while (offset < text.size() && static_cast<uint8_t>(text[offset]) < 0x80) ++offset;
  return offset;
}

}  // namespace

CodePoint beyond_ascii_at(std::string_view text, size_t offset) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[offset + i]); };
  const uint8_t lead = byte(0);
  const int32_t bytes = expected_bytes(lead);
  if (bytes == 0) return broken(1);
  uint32_t value = lead & (0x7Fu >> bytes);
  for (int32_t i = 1; i < bytes; ++i) {
    const size_t at = static_cast<size_t>(i);
    if (offset + at >= text.size()) return broken(i);
    const uint8_t next = byte(at);
    if (i == 1 ? !second_byte_fits(lead, next) : (next & 0xC0) != 0x80) return broken(i);
    value = value << 6 | (next & 0x3Fu);
  }
  return {value, bytes, true};
}

CodePoint code_point_before(std::string_view text, size_t end) {
  size_t start = end - 1;
  while (start > 0 && (static_cast<uint8_t>(text[start]) & 0xC0) == 0x80) --start;
  return code_point_at(text, start);
}

void append_utf8(std::string& out, uint32_t code_point) {
  const auto put = [&](uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (code_point < 0x80) {
    put(code_point);
  } else if (code_point < 0x800) {
    put(0xC0 | code_point >> 6);
    put(0x80 | (code_point & 0x3F));
  } else if (code_point < 0x10000) {
    put(0xE0 | code_point >> 12);
    put(0x80 | (code_point >> 6 & 0x3F));
    put(0x80 | (code_point & 0x3F));
  } else {
    put(0xF0 | code_point >> 18);
    put(0x80 | (code_point >> 12 & 0x3F));
    put(0x80 | (code_point >> 6 & 0x3F));
    put(0x80 | (code_point & 0x3F));
  }
}

size_t count_code_points(std::string_view text) {
  return static_cast<size_t>(std::ranges::count_if(
      text, [](char byte) { return (static_cast<uint8_t>(byte) & 0xC0) != 0x80; }));
}

bool is_well_formed(std::string_view text) {
  size_t offset = ascii_prefix(text, 0);
  while (offset < text.size()) {
    const CodePoint next = code_point_at(text, offset);
    if (!next.well_formed) return false;
    offset = ascii_prefix(text, offset + static_cast<size_t>(next.bytes));
  }
  return true;
}

std::string to_well_formed(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t offset = 0; offset < text.size();) {
    const CodePoint next = code_point_at(text, offset);
    append_utf8(out, next.value);
    offset += static_cast<size_t>(next.bytes);
  }
  return out;
}

}  // namespace dms
