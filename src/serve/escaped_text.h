#pragma once
// A text as FunctionGemma quotes it: <escape>text<escape>, whatever stands between.

#include <cstddef>
#include <string>
#include <string_view>

#include "serve/quoted_text.h"

namespace dms::serve {

class EscapedText final : public QuotedText {
 public:
  static constexpr std::string_view kQuote = "<escape>";

  bool begins(char c) const override { return c == kQuote.front(); }
  LiteralStep push(char c, std::string& json) override;

 private:
  LiteralStep push_open(char c, std::string& json);

  size_t matched_ = 0;  // bytes of the quote that is read
  bool is_inside_ = false;
};

}  // namespace dms::serve
