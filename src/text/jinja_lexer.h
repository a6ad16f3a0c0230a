#pragma once
// Cuts a chat template into text and tokens. White space is treated as transformers sets jinja2 up:
// trim_blocks, lstrip_blocks, the template's last newline dropped, "-" and "+" marks honoured.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

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
  int line = 1;
  std::string text;
  int64_t integer = 0;
  double number = 0;
};

/// `where` names the template in errors. Throws InputError on what jinja2's lexer refuses.
std::vector<Token> tokenize(std::string_view source, const std::string& where);

/// The error both lexer and parser throw: "WHERE: line N: what".
[[noreturn]] void syntax_error(const std::string& where, int line, const std::string& what);

}  // namespace dms::text::jinja
