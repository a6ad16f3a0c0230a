#include "text/charsmap.h"

#include <algorithm>
#include <array>

#include "base/utf8.h"
#include "dms/error.h"
#include "text/graphemes.h"

namespace dms::text {
namespace {

constexpr size_t kLongestCharacter = 5;  // bytes of a character that is looked up as a whole
constexpr uint32_t kValueBit = uint32_t{1} << 31;

[[noreturn]] void broken(const std::string& where, std::string what) {
  throw InputError({.where = where + ": precompiled_charsmap", .what = std::move(what)});
}

std::string from_base64(std::string_view text, const std::string& where) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::array<int, 256> value;
  value.fill(-1);
  for (size_t i = 0; i < kDigits.size(); ++i) {
    value[static_cast<uint8_t>(kDigits[i])] = static_cast<int>(i);
  }
  while (text.ends_with('=')) text.remove_suffix(1);
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3 + 3);
  uint32_t bits = 0;
  int held = 0;
  for (const char c : text) {
    const int digit = value[static_cast<uint8_t>(c)];
    if (digit < 0) broken(where, "not base64");
    bits = bits << 6 | static_cast<uint32_t>(digit);
    held += 6;
    if (held < 8) continue;
    held -= 8;
    bytes.push_back(static_cast<char>(bits >> held & 0xFF));
  }
  return bytes;
}

uint32_t little_endian(std::string_view bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 4; i-- > 0;) value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
  return value;
}

// A unit of the trie: the byte that led here and where the next ones are.
bool has_value(uint32_t unit) { return (unit >> 8 & 1) != 0; }
uint32_t label(uint32_t unit) { return unit & (kValueBit | 0xFF); }
uint32_t offset(uint32_t unit) { return unit >> 10 << ((unit & 0x200) >> 6); }

}  // namespace

Charsmap::Charsmap(std::string_view base64, const std::string& where) {
  const std::string bytes = from_base64(base64, where);
  if (bytes.size() < 4) broken(where, "shorter than its header");
  const size_t trie_bytes = little_endian(bytes, 0);
  if (trie_bytes % 4 != 0 || trie_bytes > bytes.size() - 4) {
    broken(where, "its trie of " + std::to_string(trie_bytes) + " bytes does not fit");
  }
  for (size_t at = 4; at < 4 + trie_bytes; at += 4) units_.push_back(little_endian(bytes, at));
  texts_ = bytes.substr(4 + trie_bytes);
  if (!is_well_formed(texts_)) broken(where, "its replacements are not UTF-8");
}

// The text for the shortest beginning of `chunk` that has one.
std::optional<std::string_view> Charsmap::replacement(std::string_view chunk) const {
  const auto unit = [this](size_t at) { return at < units_.size() ? units_[at] : 0; };
  size_t node = offset(unit(0));
  for (const char c : chunk) {
    const auto byte = static_cast<uint8_t>(c);
    if (byte == 0) break;
    node ^= byte;
    const uint32_t found = unit(node);
    if (label(found) != byte) break;
    node ^= offset(found);
    if (!has_value(found)) continue;
    const size_t start = std::min<size_t>(unit(node) & ~kValueBit, texts_.size());
    const std::string_view text = std::string_view(texts_).substr(start);
    return text.substr(0, text.find('\0'));
  }
  return std::nullopt;
}

std::string Charsmap::apply(std::string_view text, const GrowthLimit& limit) const {
  std::string out;
  out.reserve(text.size());
  for (GraphemeScanner scanner(text); !scanner.is_done();) {
    const std::string_view character = scanner.next();
    const auto whole =
        character.size() <= kLongestCharacter ? replacement(character) : std::nullopt;
    if (whole) {
      out += *whole;
    } else {
      for (size_t at = 0; at < character.size();) {
        const auto bytes = static_cast<size_t>(code_point_at(character, at).bytes);
        const std::string_view part = character.substr(at, bytes);
        out += replacement(part).value_or(part);
        at += bytes;
      }
    }
    limit.check(out.size());
  }
  return out;
}

}  // namespace dms::text
