#pragma once
// A string literal of Python's: 'text', "text", and either three times around lines. Prefixes (r,
// b, f) and \N{NAME} are none of its. A line end within single quotes is the text's, as models
// write.

#include <cstdint>
#include <string>

#include "serve/quoted_text.h"

namespace dms::serve {

class PythonText final : public QuotedText {
 public:
  bool begins(char c) const override { return c == '\'' || c == '"'; }
  LiteralStep push(char c, std::string& json) override;

 private:
  enum class State : uint8_t { kOpen, kFirst, kEmpty, kText, kEscape, kDigits };

  LiteralStep go_to(State state);
  LiteralStep push_first(char c, std::string& json);
  LiteralStep push_empty(char c, std::string& json);
  LiteralStep push_text(char c, std::string& json);
  LiteralStep push_escape(char c, std::string& json);
  LiteralStep push_digit(char c, std::string& json);
  LiteralStep end(std::string& json);
  LiteralStep begin_digits(uint32_t base, int most, bool may_be_fewer);

  State state_ = State::kOpen;
  char quote_ = '"';
  bool is_long_ = false;       // between three quotes
  int quotes_ = 0;             // of the three that end it
  uint32_t code_ = 0;          // of an escape's digits, whose base
  uint32_t base_ = 0;          // follows,
  int digits_ = 0;             // and as many may come,
  bool may_be_fewer_ = false;  // or fewer
};

}  // namespace dms::serve
