#pragma once
// The byte alphabet of byte-level BPE: every byte has one printable character. Bytes that print as
// themselves in Latin-1 keep their code point, the others take U+0100 upwards in order.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace dms::text {

/// The character that stands for a byte.
uint32_t byte_character(uint8_t byte);

/// The token that stands for a byte in vocabularies with byte fallback: <0x00> to <0xFF>.
std::string fallback_token(uint8_t byte);

/// `bytes` spelled in the alphabet.
std::string to_byte_alphabet(std::string_view bytes);

/// The bytes that `text` spells, or nothing when a character is not of the alphabet.
std::optional<std::string> from_byte_alphabet(std::string_view text);

}  // namespace dms::text
