#include "dms/error.h"

namespace dms {
namespace {

/// Length of the UTF-8 sequence that `text` begins with, or 0 where it begins with none.
size_t sequence_length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const size_t length = byte(0) < 0x80 ? 1 : byte(0) >= 0xf0 ? 4 : byte(0) >= 0xe0 ? 3 : 2;
  if (length > text.size() || (byte(0) >= 0x80 && (byte(0) < 0xc2 || byte(0) > 0xf4))) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  return length;
}

/// One line of valid UTF-8, whatever a hostile file put into the message.
std::string one_line(std::string_view text) {
  std::string line;
  while (!text.empty()) {
    const size_t length = sequence_length(text);
    if (length == 0) {
      line += '?';
    } else if (static_cast<unsigned char>(text.front()) < 0x20) {
      line += ' ';
    } else {
      line += text.substr(0, length);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return line;
}

std::string message(const ErrorParts& parts) {
  std::string text = parts.where.empty() ? parts.what : parts.where + ": " + parts.what;
  if (!parts.got.empty() && !parts.expected.empty()) {
    text += " (got " + parts.got + ", expected " + parts.expected + ")";
  } else if (!parts.got.empty()) {
    text += " (got " + parts.got + ")";
  } else if (!parts.expected.empty()) {
    text += " (expected " + parts.expected + ")";
  }
  if (!parts.hint.empty()) text += "; " + parts.hint;
  return one_line(text);
}

}  // namespace

Error::Error(const ErrorParts& parts) : std::runtime_error(message(parts)) {}

}  // namespace dms
