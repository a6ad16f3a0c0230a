#pragma once
// Reads one literal of a form's (a text, a number, true, false, nothing, lists and objects of them)
// character by character and writes it as JSON. Nothing is ever evaluated.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "serve/json_scanner.h"
#include "serve/quoted_text.h"

namespace dms::serve {

struct LiteralForm {
  std::unique_ptr<QuotedText> (*make_text)();
  bool has_bare_keys = false;  // {key:1}
};

class LiteralScanner {
 public:
  // Arguments are an object around it.
  static constexpr size_t kMostDepth = JsonScanner::kMostDepth - 1;

  explicit LiteralScanner(LiteralForm form) : form_(form) {}

  /// The next character; blanks may come before the literal. What is certain goes to `json`: where
  /// nothing does, the character may yet turn out to belong to no literal. kBad takes back nothing.
  /// Not to be called after its end.
  LiteralStep push(char c, std::string& json);

 private:
  enum class State : uint8_t { kValue, kFirst, kItem, kBareKey, kColon, kNext, kText, kAtom };

  LiteralStep begin_value(char c, std::string& json);
  LiteralStep begin_item(char c, std::string& json);
  LiteralStep begin_text(char c, std::string& json);
  LiteralStep push_text(char c, std::string& json);
  LiteralStep push_atom(char c, std::string& json);
  LiteralStep push_bare_key(char c, std::string& json);
  LiteralStep push_colon(char c, std::string& json);
  LiteralStep push_next(char c, std::string& json);
  LiteralStep close(char c, std::string& json);
  LiteralStep end_value();
  void add(std::string_view text, std::string& json);
  bool is_in_object() const { return open_.ends_with('{'); }

  LiteralForm form_;
  State state_ = State::kValue;
  std::string open_{};                  // '{' and '[' around what is read
  std::unique_ptr<QuotedText> text_{};  // that is read
  std::string atom_{};                  // a number or word, or a bare key
  std::string_view before_{};           // what is to come before it, once it is certain
  bool is_key_ = false;                 // the text that is read is one
};

/// A number of Python's or JSON's, True, None, ... as JSON; nothing where it is none.
std::optional<std::string> json_of_atom(std::string_view atom);

}  // namespace dms::serve
