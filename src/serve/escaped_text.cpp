#include "serve/escaped_text.h"

namespace dms::serve {

LiteralStep EscapedText::push_open(char c, std::string& json) {
  if (c != kQuote[matched_]) return LiteralStep::kBad;
  if (++matched_ == kQuote.size()) {
    json += '"';
    matched_ = 0;
    is_inside_ = true;
  }
  return LiteralStep::kMore;
}

/// The quote's first character stands nowhere else in it: what has begun as one and is none is all
/// of the text.
LiteralStep EscapedText::push(char c, std::string& json) {
  if (!is_inside_) return push_open(c, json);
  if (c != kQuote[matched_]) {
    for (const char begun : kQuote.substr(0, matched_)) add_json_byte(begun, json);
    matched_ = 0;
  }
  if (c != kQuote[matched_]) {
    add_json_byte(c, json);
    return LiteralStep::kMore;
  }
  if (++matched_ < kQuote.size()) return LiteralStep::kMore;
  json += '"';
  return LiteralStep::kDone;
}

}  // namespace dms::serve
