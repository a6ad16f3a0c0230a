#pragma once
// Python's string behaviour on UTF-8 text: code points, white space, case, repr. Malformed bytes
// count as one code point each, so nothing here can fail.

#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/budget.h"

namespace dms::text::jinja {

/// Bytes of the character that starts `text`, at least 1.
size_t character_bytes(std::string_view text);
int64_t count_characters(std::string_view text);
/// Where character `index` begins; the text's size where it has fewer.
size_t character_offset(std::string_view text, int64_t index);
char32_t decode_character(std::string_view character);
void append_utf8(std::string& out, char32_t code_point);

/// A text's characters, one after the other, as views into it.
class Characters {
 public:
  class Iterator {
   public:
    using value_type = std::string_view;
    using difference_type = std::ptrdiff_t;

    Iterator() = default;
    explicit Iterator(std::string_view rest) : rest_(rest) {}
    std::string_view operator*() const { return rest_.substr(0, character_bytes(rest_)); }
    Iterator& operator++() {
      rest_.remove_prefix(character_bytes(rest_));
      return *this;
    }
    Iterator operator++(int) {
      const Iterator before = *this;
      ++*this;
      return before;
    }
    bool operator==(std::default_sentinel_t) const { return rest_.empty(); }

   private:
    std::string_view rest_;
  };

  explicit Characters(std::string_view text) : text_(text) {}
  Iterator begin() const { return Iterator(text_); }
  static std::default_sentinel_t end() { return {}; }

 private:
  std::string_view text_;
};
inline Characters characters(std::string_view text) { return Characters(text); }

/// A set of characters that answers at once, however many it holds.
class CharacterSet {
 public:
  explicit CharacterSet(std::string_view characters);
  bool contains(std::string_view character) const;
  bool is_ascii() const { return others_.empty(); }

 private:
  std::array<bool, 128> ascii_{};
  std::vector<bool> others_;  // by code point, then by malformed byte; empty where there are none
};

/// Where `wanted` begins first from `from` on, or last; npos. In time linear in both, whatever they
/// hold, which std::string_view's own functions do not promise.
size_t find_text(std::string_view text, std::string_view wanted, size_t from = 0);
size_t find_last_text(std::string_view text, std::string_view wanted);

/// What Python's str.isspace() says of one character.
bool is_space(std::string_view character);
/// Without leading (trailing) characters of `chars`; of white space when `chars` is null.
std::string_view strip_left(std::string_view text, const CharacterSet* chars = nullptr);
std::string_view strip_right(std::string_view text, const CharacterSet* chars = nullptr);

/// Case mapping of ASCII, Latin-1, Latin Extended-A, Greek and Cyrillic; others stay as they are.
std::string to_upper(std::string_view text);
std::string to_lower(std::string_view text);
/// First character upper case, the others lower.
std::string capitalize(std::string_view text);
/// True for a letter that has another case.
bool is_upper(std::string_view character);
bool is_lower(std::string_view character);

/// Takes the first line off a text that is not empty, as str.splitlines() cuts it: without its end
/// unless `keep_ends`.
std::string_view take_line(std::string_view& text, bool keep_ends = false);

/// With & < > " ' written as HTML entities, as markupsafe does it.
std::string escape_html(std::string_view text);

/// Python's repr() of a string and of a float.
std::string quote(std::string_view text);
void add_quoted(TextBuilder& out, std::string_view text);
std::string float_text(double value);

}  // namespace dms::text::jinja
