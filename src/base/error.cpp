#include "dms/error.h"

#include "base/utf8.h"

namespace dms {
namespace {

/// One line of valid UTF-8 that a terminal shows as it is, whatever a hostile file put into it.
std::string one_line(std::string_view text) {
  std::string line;
  for (size_t at = 0; at < text.size();) {
    const CodePoint point = code_point_at(text, at);
    const auto bytes = static_cast<size_t>(point.bytes);
    if (!point.well_formed) {
      line += '?';
    } else if (is_control(point.value)) {
      line += ' ';
    } else {
      line += text.substr(at, bytes);
    }
    at += bytes;
  }
  return line;
}

std::string message(const ErrorParts& parts) {
  std::string text;
  for (const std::string& place : {parts.where, parts.field}) {
    if (!place.empty()) text += place + ": ";
  }
  text += parts.what;
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

Error::Error(const ErrorParts& parts)
    : std::runtime_error(message(parts)), parts_(std::make_shared<const ErrorParts>(parts)) {}

}  // namespace dms
