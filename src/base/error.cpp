#include "dms/error.h"

namespace dms {
namespace {

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
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';  // one line, whatever a hostile file put in
  }
  return text;
}

}  // namespace

Error::Error(const ErrorParts& parts) : std::runtime_error(message(parts)) {}

}  // namespace dms
