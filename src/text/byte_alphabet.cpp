#include "text/byte_alphabet.h"

#include <array>

#include "base/utf8.h"

namespace dms::text {
namespace {

constexpr bool prints_as_itself(uint32_t byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
}

constexpr uint32_t kCharacters = 0x100 + 68;  // 68 bytes do not print as themselves

struct Alphabet {
  std::array<uint16_t, 256> character{};
  std::array<int16_t, kCharacters> byte{};
};

constexpr Alphabet make_alphabet() {
  Alphabet alphabet;
  alphabet.byte.fill(-1);
  uint16_t next = 0x100;
  for (uint16_t byte = 0; byte < 256; ++byte) {
    const uint16_t character = prints_as_itself(byte) ? byte : next++;
    alphabet.character[byte] = character;
    alphabet.byte[character] = static_cast<int16_t>(byte);
  }
  return alphabet;
}

constexpr Alphabet kAlphabet = make_alphabet();

}  // namespace

uint32_t byte_character(uint8_t byte) { return kAlphabet.character[byte]; }

std::string fallback_token(uint8_t byte) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  return std::string("<0x") + kDigits[byte >> 4] + kDigits[byte & 15] + '>';
}

std::string to_byte_alphabet(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const char byte : bytes) append_utf8(text, byte_character(static_cast<uint8_t>(byte)));
  return text;
}

std::optional<std::string> from_byte_alphabet(std::string_view text) {
  std::string bytes;
  bytes.reserve(text.size());
  for (size_t offset = 0; offset < text.size();) {
    const CodePoint next = code_point_at(text, offset);
    if (next.value >= kCharacters || kAlphabet.byte[next.value] < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(kAlphabet.byte[next.value]));
    offset += static_cast<size_t>(next.bytes);
  }
  return bytes;
}

}  // namespace dms::text
