#pragma once
// Cuts a template into text and tokens, or an expression into tokens. White space of a template is
// treated as transformers sets jinja2 up: trim_blocks, lstrip_blocks, the template's last newline
// dropped, "-" and "+" marks honoured.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/budget.h"

namespace dms::text::jinja {

struct Token {
  enum class Kind {
    kText,           // outside of tags
    kVariableBegin,  // {{
    kVariableEnd,    // }}
    kBlockBegin,     // {%
    kBlockEnd,       // %}
    kName,
    kString,  // `text` with escapes resolved
    kInteger,
    kFloat,
    kOperator,
    kEnd
  };
  Kind kind = Kind::kEnd;
  int place = 1;
  std::string text;
  int64_t integer = 0;
  double number = 0;
};

/// Throws InputError on what jinja2's lexer refuses.
std::vector<Token> tokenize(std::string_view source, const Origin& origin);

}  // namespace dms::text::jinja
