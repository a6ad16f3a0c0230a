#include "eval/segmenter.h"

#include <algorithm>
#include <string_view>

#include <fmt/format.h>

#include "base/terminal_text.h"
#include "base/utf8.h"
#include "dms/error.h"

namespace dms::eval {
namespace {

constexpr const char* kOption = "--segmenter";
// A word may be one character, and what divides two of them several, before that is looked at.
constexpr int64_t kOutputPerInput = 8;
constexpr int64_t kLeastOutput = int64_t{1} << 16;
constexpr size_t kShownCodePoints = 30;

/// White space as Python's str.split() sees it, by which LongBench's scores are made.
bool is_blank(uint32_t point) {
  return (point >= 0x09 && point <= 0x0D) || (point >= 0x1C && point <= 0x20) || point == 0x85 ||
         point == 0xA0 || point == 0x1680 || (point >= 0x2000 && point <= 0x200A) ||
         point == 0x2028 || point == 0x2029 || point == 0x202F || point == 0x205F ||
         point == 0x3000;
}

/// Well-formed, on one line, with one blank where there were some, and none at the ends.
std::string plain_line(std::string_view text) {
  std::string line;
  bool is_divided = false;
  for (size_t at = 0; at < text.size();) {
    const CodePoint point = code_point_at(text, at);
    at += static_cast<size_t>(point.bytes);
    if (is_blank(point.value)) {
      is_divided = true;
      continue;
    }
    if (is_divided && !line.empty()) line += ' ';
    is_divided = false;
    append_utf8(line, point.value);
  }
  return line;
}

std::string without_blanks(std::string line) {
  std::erase(line, ' ');
  return line;
}

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    lines.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

/// The beginning of a text, for an error line.
std::string shown(const std::string& text) {
  size_t at = 0;
  for (size_t points = 0; points < kShownCodePoints && at < text.size(); ++points) {
    at += static_cast<size_t>(code_point_at(text, at).bytes);
  }
  return fmt::format("'{}{}'", escape_controls(text.substr(0, at)), at < text.size() ? "…" : "");
}

std::string checked_words(std::string_view line, const std::string& text, size_t number) {
  std::string words = plain_line(line);
  if (without_blanks(words) == without_blanks(text)) return words;
  throw InputError({.where = kOption,
                    .what = fmt::format("wrote another text as line {}", number),
                    .got = shown(words),
                    .expected = shown(text) + " with blanks between its words"});
}

}  // namespace

std::vector<std::string> Segmenter::words_of(const std::vector<std::string>& texts) const {
  std::vector<std::string> lines;
  std::string input;
  std::vector<std::string> words(texts.size());
  std::vector<size_t> places;  // of the lines among the texts
  for (size_t i = 0; i < texts.size(); ++i) {
    std::string line = plain_line(texts[i]);
    if (line.empty()) continue;
    input += line + '\n';
    lines.push_back(std::move(line));
    places.push_back(i);
  }
  if (lines.empty()) return words;
  const FilterLimits limits{
      .silence = longest_silence_,
      .output_bytes = std::max(kLeastOutput, kOutputPerInput * std::ssize(input))};
  const std::string output = run_filter(kOption, command_, input, limits, on_wait_);
  const std::vector<std::string_view> written = lines_of(output);
  for (size_t i = 0; i < std::min(lines.size(), written.size()); ++i) {
    words[places[i]] = checked_words(written[i], lines[i], i + 1);
  }
  if (written.size() == lines.size()) return words;
  throw InputError({.where = kOption,
                    .what = "wrote another number of lines than it was given",
                    .got = std::to_string(written.size()),
                    .expected = std::to_string(lines.size())});
}

}  // namespace dms::eval
