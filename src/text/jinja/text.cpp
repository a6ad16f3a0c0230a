#include "text/jinja/text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>

#include <fmt/format.h>

namespace dms::text::jinja {
namespace {

size_t expected_bytes(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead < 0xE0) return 2;
  if (lead >= 0xE0 && lead < 0xF0) return 3;
  if (lead >= 0xF0 && lead < 0xF5) return 4;
  return 1;
}

bool in(char32_t c, char32_t first, char32_t last) { return c >= first && c <= last; }

bool even_is_upper(char32_t c) {
  return in(c, 0x100, 0x12F) || in(c, 0x132, 0x137) || in(c, 0x14A, 0x177) || in(c, 0x460, 0x481) ||
         in(c, 0x48A, 0x4BF) || in(c, 0x4D0, 0x52F) || in(c, 0x1E00, 0x1E95);
}

bool odd_is_upper(char32_t c) {
  return in(c, 0x139, 0x148) || in(c, 0x179, 0x17E) || in(c, 0x4C1, 0x4CE);
}

char32_t upper(char32_t c) {
  if (in(c, 'a', 'z')) return c - 32;
  if (c < 0xB5) return c;
  if (c == 0xB5) return 0x39C;
  if (c == 0xFF) return 0x178;
  if (c == 0x131) return 'I';
  if (in(c, 0xE0, 0xFE) && c != 0xF7) return c - 32;
  if (even_is_upper(c)) return c & ~char32_t{1};
  if (odd_is_upper(c)) return (c & 1) == 0 ? c - 1 : c;
  if (c == 0x3AC) return 0x386;
  if (in(c, 0x3AD, 0x3AF)) return c - 37;
  if (c == 0x3C2) return 0x3A3;
  if (in(c, 0x3B1, 0x3CB)) return c - 32;
  if (c == 0x3CC) return 0x38C;
  if (c == 0x3CD || c == 0x3CE) return c - 63;
  if (in(c, 0x430, 0x44F)) return c - 32;
  if (in(c, 0x450, 0x45F)) return c - 80;
  return c;
}

char32_t lower(char32_t c) {
  if (in(c, 'A', 'Z')) return c + 32;
  if (c < 0xC0) return c;
  if (c == 0x178) return 0xFF;
  if (in(c, 0xC0, 0xDE) && c != 0xD7) return c + 32;
  if (even_is_upper(c)) return c == 0x130 ? c : c | 1;
  if (odd_is_upper(c)) return (c & 1) == 1 ? c + 1 : c;
  if (c == 0x386) return 0x3AC;
  if (in(c, 0x388, 0x38A)) return c + 37;
  if (c == 0x38C) return 0x3CC;
  if (c == 0x38E || c == 0x38F) return c + 63;
  if (in(c, 0x391, 0x3AB) && c != 0x3A2) return c + 32;
  if (in(c, 0x410, 0x42F)) return c + 32;
  if (in(c, 0x400, 0x40F)) return c + 80;
  return c;
}

std::string map_characters(std::string_view text, char32_t (*map)(char32_t)) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::string_view character = text.substr(0, character_bytes(text));
    text.remove_prefix(character.size());
    const char32_t code_point = decode_character(character);
    const char32_t mapped = map(code_point);
    if (code_point == 0xDF && map == upper) {
      out += "SS";
    } else if (mapped == code_point) {
      out += character;
    } else {
      append_utf8(out, mapped);
    }
  }
  return out;
}

bool is_line_end(char32_t c) {
  return in(c, 0x0A, 0x0D) || in(c, 0x1C, 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

/// Characters Python's repr() escapes: control, format, separators, surrogates, private use.
bool is_printable(char32_t c) {
  if (c < 0x7F) return c >= 0x20;
  if (c < 0xA1 || c == 0xAD) return false;
  constexpr std::array<std::array<char32_t, 2>, 17> kHidden{{{0x600, 0x605},
                                                             {0x61C, 0x61C},
                                                             {0x6DD, 0x6DD},
                                                             {0x70F, 0x70F},
                                                             {0x1680, 0x1680},
                                                             {0x180E, 0x180E},
                                                             {0x2000, 0x200F},
                                                             {0x2028, 0x202F},
                                                             {0x205F, 0x206F},
                                                             {0x3000, 0x3000},
                                                             {0xD800, 0xF8FF},
                                                             {0xFEFF, 0xFEFF},
                                                             {0xFFF0, 0xFFFB},
                                                             {0xFFFE, 0xFFFF},
                                                             {0x1BCA0, 0x1BCA3},
                                                             {0x1D173, 0x1D17A},
                                                             {0xE0000, 0x10FFFF}}};
  return std::ranges::none_of(kHidden, [&](const auto& r) { return in(c, r[0], r[1]); });
}

bool strips(std::string_view character, const CharacterSet* chars) {
  return chars == nullptr ? is_space(character) : chars->contains(character);
}

size_t last_character_bytes(std::string_view text) {
  for (size_t bytes = std::min<size_t>(4, text.size()); bytes > 1; --bytes) {
    const std::string_view tail = text.substr(text.size() - bytes);
    if (character_bytes(tail) == bytes) return bytes;
  }
  return 1;
}

std::string escape(char32_t c) {
  const auto value = static_cast<uint32_t>(c);
  if (c < 0x100) return fmt::format("\\x{:02x}", value);
  if (c < 0x10000) return fmt::format("\\u{:04x}", value);
  return fmt::format("\\U{:08x}", value);
}

constexpr size_t kCodePoints = 0x110000;

/// A number for each character, malformed bytes after all code points.
size_t key_of(std::string_view character) {
  const auto code = static_cast<size_t>(decode_character(character));
  return character.size() == 1 && code >= 0x80 ? kCodePoints + code : code;
}

/// Hands a text's repr() to `add`, piece by piece.
template <class Add>
void quote_into(std::string_view text, Add add) {
  const bool has_single = text.find('\'') != std::string_view::npos;
  const char mark = has_single && text.find('"') == std::string_view::npos ? '"' : '\'';
  const std::string_view quotes(&mark, 1);
  add(quotes);
  for (const std::string_view character : characters(text)) {
    const char32_t c = decode_character(character);
    if (c == '\\' || c == static_cast<char32_t>(mark)) {
      add("\\");
      add(character);
    } else if (c == '\n') {
      add("\\n");
    } else if (c == '\r') {
      add("\\r");
    } else if (c == '\t') {
      add("\\t");
    } else if (is_printable(c)) {
      add(character);
    } else {
      add(escape(c));
    }
  }
  add(quotes);
}

}  // namespace

size_t character_bytes(std::string_view text) {
  const size_t bytes = expected_bytes(static_cast<unsigned char>(text[0]));
  if (bytes > text.size()) return 1;
  for (size_t i = 1; i < bytes; ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xC0) != 0x80) return 1;
  }
  return bytes;
}

int64_t count_characters(std::string_view text) {
  int64_t count = 0;
  for (; !text.empty(); ++count) text.remove_prefix(character_bytes(text));
  return count;
}

size_t character_offset(std::string_view text, int64_t index) {
  std::string_view rest = text;
  for (; index > 0 && !rest.empty(); --index) rest.remove_prefix(character_bytes(rest));
  return text.size() - rest.size();
}

CharacterSet::CharacterSet(std::string_view chars) {
  for (const std::string_view character : characters(chars)) {
    const size_t key = key_of(character);
    if (key < ascii_.size()) {
      ascii_[key] = true;
      continue;
    }
    if (others_.size() <= key) others_.resize(key + 1);
    others_[key] = true;
  }
}

bool CharacterSet::contains(std::string_view character) const {
  const size_t key = key_of(character);
  return key < ascii_.size() ? ascii_[key] : key < others_.size() && others_[key];
}

size_t find_text(std::string_view text, std::string_view wanted, size_t from) {
  if (from > text.size()) return std::string_view::npos;
  const std::string_view rest = text.substr(from);
  const void* at = ::memmem(rest.data(), rest.size(), wanted.data(), wanted.size());
  if (at == nullptr) return std::string_view::npos;
  return static_cast<size_t>(static_cast<const char*>(at) - text.data());
}

size_t find_last_text(std::string_view text, std::string_view wanted) {
  const std::string backwards(text.rbegin(), text.rend());
  const std::string wanted_backwards(wanted.rbegin(), wanted.rend());
  const size_t at = find_text(backwards, wanted_backwards);
  return at == std::string_view::npos ? at : text.size() - at - wanted.size();
}

char32_t decode_character(std::string_view character) {
  const auto byte = [&](size_t i) {
    return static_cast<char32_t>(static_cast<unsigned char>(character[i]));
  };
  switch (character.size()) {
    case 2:
      return (byte(0) & 0x1F) << 6 | (byte(1) & 0x3F);
    case 3:
      return (byte(0) & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
    case 4:
      return (byte(0) & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 |
             (byte(3) & 0x3F);
    default:
      return byte(0);
  }
}

void append_utf8(std::string& out, char32_t c) {
  const auto add = [&](char32_t byte) {
    out += static_cast<char>(static_cast<unsigned char>(byte));
  };
  if (c < 0x80) {
    add(c);
  } else if (c < 0x800) {
    add(0xC0 | c >> 6);
    add(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    add(0xE0 | c >> 12);
    add(0x80 | (c >> 6 & 0x3F));
    add(0x80 | (c & 0x3F));
  } else {
    add(0xF0 | c >> 18);
    add(0x80 | (c >> 12 & 0x3F));
    add(0x80 | (c >> 6 & 0x3F));
    add(0x80 | (c & 0x3F));
  }
}

bool is_space(std::string_view character) {
  const char32_t c = decode_character(character);
  if (character.size() == 1) return in(c, 0x09, 0x0D) || in(c, 0x1C, 0x20);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || in(c, 0x2000, 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

std::string_view strip_left(std::string_view text, const CharacterSet* chars) {
  while (!text.empty()) {
    const size_t bytes = character_bytes(text);
    if (!strips(text.substr(0, bytes), chars)) break;
    text.remove_prefix(bytes);
  }
  return text;
}

std::string_view strip_right(std::string_view text, const CharacterSet* chars) {
  while (!text.empty()) {
    const size_t bytes = last_character_bytes(text);
    if (!strips(text.substr(text.size() - bytes), chars)) break;
    text.remove_suffix(bytes);
  }
  return text;
}

std::string to_upper(std::string_view text) { return map_characters(text, upper); }
std::string to_lower(std::string_view text) { return map_characters(text, lower); }

std::string capitalize(std::string_view text) {
  if (text.empty()) return {};
  const size_t bytes = character_bytes(text);
  return to_upper(text.substr(0, bytes)) + to_lower(text.substr(bytes));
}

bool is_upper(std::string_view character) {
  const char32_t c = decode_character(character);
  return character.size() <= 4 && lower(c) != c;
}

bool is_lower(std::string_view character) {
  const char32_t c = decode_character(character);
  return c == 0xDF || upper(c) != c;
}

std::string_view take_line(std::string_view& text, bool keep_ends) {
  const std::string_view whole = text;
  while (!text.empty()) {
    const size_t bytes = character_bytes(text);
    const size_t at = whole.size() - text.size();
    const bool malformed = bytes == 1 && static_cast<unsigned char>(text[0]) >= 0x80;
    const bool ends = !malformed && is_line_end(decode_character(text.substr(0, bytes)));
    text.remove_prefix(ends && text.starts_with("\r\n") ? 2 : bytes);
    if (ends) return whole.substr(0, keep_ends ? whole.size() - text.size() : at);
  }
  return whole;
}

std::string escape_html(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else if (c == '"') {
      out += "&#34;";
    } else if (c == '\'') {
      out += "&#39;";
    } else {
      out += c;
    }
  }
  return out;
}

std::string quote(std::string_view text) {
  std::string out;
  quote_into(text, [&](std::string_view piece) { out += piece; });
  return out;
}

void add_quoted(TextBuilder& out, std::string_view text) {
  quote_into(text, [&](std::string_view piece) { out.add(piece); });
}

std::string float_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  if (value == 0) return std::signbit(value) ? "-0.0" : "0.0";
  std::array<char, 32> scientific{};
  const auto end = std::to_chars(scientific.data(),
                                 scientific.data() + scientific.size(),
                                 value,
                                 std::chars_format::scientific)
                       .ptr;
  const std::string text(scientific.data(), end);
  const int exponent = std::stoi(text.substr(text.find('e') + 1));
  // Python writes an exponent below 1e-4 and from 1e16 on, else plain digits with a point.
  if (exponent < -4 || exponent >= 16) return text;
  std::array<char, 64> fixed{};
  const auto fixed_end =
      std::to_chars(fixed.data(), fixed.data() + fixed.size(), value, std::chars_format::fixed).ptr;
  std::string plain(fixed.data(), fixed_end);
  if (plain.find('.') == std::string::npos) plain += ".0";
  return plain;
}

}  // namespace dms::text::jinja
