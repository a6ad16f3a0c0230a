#pragma once
// Python's string behaviour on UTF-8 text: code points, white space, case, repr. Malformed bytes
// count as one code point each, so nothing here can fail.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace dms::text::jinja {

/// The text's characters, as views into it.
std::vector<std::string_view> characters(std::string_view text);
int64_t count_characters(std::string_view text);
/// Bytes of the character that starts `text`, at least 1.
size_t character_bytes(std::string_view text);
char32_t decode_character(std::string_view character);
void append_utf8(std::string& out, char32_t code_point);

/// What Python's str.isspace() says of one character.
bool is_space(std::string_view character);
/// Without leading (trailing) characters of `chars`; of white space when `chars` is null.
std::string_view strip_left(std::string_view text, const std::string_view* chars = nullptr);
std::string_view strip_right(std::string_view text, const std::string_view* chars = nullptr);

/// Case mapping of ASCII, Latin-1, Latin Extended-A, Greek and Cyrillic; others stay as they are.
std::string to_upper(std::string_view text);
std::string to_lower(std::string_view text);
/// First character upper case, the others lower.
std::string capitalize(std::string_view text);
/// True for a letter that has another case.
bool is_upper(std::string_view character);
bool is_lower(std::string_view character);

/// Lines as str.splitlines() cuts them, without their ends unless `keep_ends`.
std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends = false);

/// With & < > " ' written as HTML entities, as markupsafe does it.
std::string escape_html(std::string_view text);

/// Python's repr() of a string and of a float.
std::string quote(std::string_view text);
std::string float_text(double value);

}  // namespace dms::text::jinja
