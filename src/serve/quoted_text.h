#pragma once
// How a form quotes texts within the arguments of calls: read character by character, and written
// as a string of JSON.

#include <cstdint>
#include <string>

namespace dms::serve {

/// What became of a character.
enum class LiteralStep : uint8_t {
  kMore,  // taken, and more is to come
  kDone,  // taken: the text or value ends with it
  kOver,  // not taken: it has ended before it
  kBad,   // not taken: there is none
};

class QuotedText {
 public:
  virtual ~QuotedText() = default;
  /// Whether a text may begin so.
  virtual bool begins(char c) const = 0;
  /// The first is one that `begins`. What is certain goes to `json`.
  virtual LiteralStep push(char c, std::string& json) = 0;
};

/// One byte of a text, as it stands within a string of JSON.
void add_json_byte(char c, std::string& json);

/// \uXXXX, or two of them; nothing else than a number up to 10FFFF.
void add_json_code(uint32_t code, std::string& json);

}  // namespace dms::serve
