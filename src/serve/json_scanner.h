#pragma once
// Follows one JSON value character by character (RFC 8259) without building it: whether what has
// come is the beginning of one, and where it ends.

#include <cstdint>
#include <string>
#include <string_view>

namespace dms::serve {

class JsonScanner {
 public:
  static constexpr size_t kMostDepth = 64;  // arrays and objects inside one another

  enum class Step {
    kMore,  // taken, and more is to come
    kDone,  // taken: the value ends with it
    kOver,  // not taken: the value, a number, has ended before it
    kBad,   // not taken: no JSON, or too deep
  };

  /// The next character; blanks may come before the value. Not to be called after its end.
  Step push(char c);

 private:
  enum class State : uint8_t {
    kValue,
    kFirstItem,  // or the end of an array
    kFirstKey,   // or the end of an object
    kKey,
    kColon,
    kNext,  // a comma, or the end of what surrounds the value
    kString,
    kEscape,
    kCode,  // of \uXXXX
    kLiteral,
    kMinus,
    kZero,
    kDigits,
    kPoint,
    kFraction,
    kExponent,
    kExponentSign,
    kExponentDigits,
  };

  Step go_to(State state);
  Step begin_value(char c);
  Step open(char c);
  Step close(char c);
  Step end_value();
  Step push_key(char c);
  Step push_next(char c);
  Step push_string(char c);
  Step push_escape(char c);
  Step push_number(char c);

  State state_ = State::kValue;
  std::string open_{};          // '{' and '[' around what is read
  std::string_view literal_{};  // what is left of true, false or null
  int code_digits_ = 0;         // that are to come
  bool is_key_ = false;         // the text that is read is one
};

/// Whether `text` is one JSON value with nothing but blanks around it; the second: an object.
bool is_json(std::string_view text);
bool is_json_object(std::string_view text);

/// Blanks of JSON.
constexpr bool is_blank(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

}  // namespace dms::serve
