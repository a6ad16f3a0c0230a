#include "base/terminal_text.h"

#include <array>
#include <cstdio>

#include <unistd.h>

#include "base/utf8.h"

namespace dms {
namespace {

std::string json_escape(uint32_t code_point) {
  std::array<char, 8> text;
  std::snprintf(text.data(), text.size(), "\\u%04x", static_cast<unsigned>(code_point));
  return text.data();
}

}  // namespace

std::string escape_controls(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const CodePoint point = code_point_at(text, at);
    const auto bytes = static_cast<size_t>(point.bytes);
    const bool is_layout = point.value == '\n' || point.value == '\t';
    if (is_control(point.value) && !is_layout) {
      out += json_escape(point.value);
    } else {
      out += text.substr(at, bytes);
    }
    at += bytes;
  }
  return out;
}

std::string text_for(int fd, std::string_view text) {
  return ::isatty(fd) == 1 ? escape_controls(text) : std::string(text);
}

}  // namespace dms
