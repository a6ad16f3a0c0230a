#include "serve/quoted_text.h"

#include <string_view>

namespace dms::serve {
namespace {

/// Of a number below 10000 in hexadecimal.
void add_escape(uint32_t code, std::string& json) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  json += "\\u";
  for (int shift = 12; shift >= 0; shift -= 4) json += kDigits[(code >> shift) & 0xFU];
}

}  // namespace

void add_json_byte(char c, std::string& json) {
  constexpr unsigned char kFirstPrintable = 0x20;
  if (c == '"' || c == '\\') {
    json += '\\';
    json += c;
  } else if (c == '\n') {
    json += "\\n";
  } else if (c == '\t') {
    json += "\\t";
  } else if (static_cast<unsigned char>(c) < kFirstPrintable) {
    add_escape(static_cast<unsigned char>(c), json);
  } else {
    json += c;
  }
}

void add_json_code(uint32_t code, std::string& json) {
  constexpr uint32_t kFirstOfTwo = 0x10000;
  if (code < kFirstOfTwo) {
    add_escape(code, json);
    return;
  }
  const uint32_t rest = code - kFirstOfTwo;
  add_escape(0xD800U + (rest >> 10U), json);
  add_escape(0xDC00U + (rest & 0x3FFU), json);
}

}  // namespace dms::serve
