#include "grammar/pattern.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "base/utf8.h"
#include "dms/error.h"
#include "grammar/character_set.h"

namespace dms::grammar {
namespace {

constexpr int kMostLevels = 100;  // of groups in groups
constexpr int64_t kNoEnd = LengthBounds::kNoEnd;

constexpr std::array<CharacterRange, 1> kDigits{{{'0', '9'}}};
constexpr std::array<CharacterRange, 4> kWord{{{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}};
constexpr std::array<CharacterRange, 10> kSpace{{{'\t', '\r'},
                                                 {' ', ' '},
                                                 {0xa0, 0xa0},
                                                 {0x1680, 0x1680},
                                                 {0x2000, 0x200a},
                                                 {0x2028, 0x2029},
                                                 {0x202f, 0x202f},
                                                 {0x205f, 0x205f},
                                                 {0x3000, 0x3000},
                                                 {0xfeff, 0xfeff}}};

CharacterSet set_of(uint32_t first, uint32_t last) {
  return CharacterSet(std::array{CharacterRange{first, last}});
}

bool is_alphanumeric(uint32_t c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/// \d and its like.
std::optional<CharacterSet> named_set(uint32_t letter) {
  switch (letter) {
    case 'd':
      return CharacterSet(kDigits);
    case 'w':
      return CharacterSet(kWord);
    case 's':
      return CharacterSet(kSpace);
    case 'D':
    case 'W':
    case 'S':
      return named_set(letter + 'a' - 'A')->complement();
    default:
      return std::nullopt;
  }
}

/// \n and its like; none of them stands in a text of JSON as it is.
std::optional<uint32_t> named_control(uint32_t letter) {
  constexpr std::string_view kLetters = "0tnvfr";
  constexpr std::string_view kControls{"\0\t\n\v\f\r", 6};
  const size_t at = letter < 0x80 ? kLetters.find(static_cast<char>(letter)) : kLetters.npos;
  if (at == kLetters.npos) return std::nullopt;
  return static_cast<uint32_t>(kControls[at]);
}

/// A part of a pattern: one character, or a group.
struct Part {
  std::string text;
  LengthBounds lengths;
  bool is_group = false;
};

/// How often a part comes.
struct Counts {
  int64_t least = 1;
  int64_t most = 1;  // or kNoEnd
};

int64_t sum(int64_t a, int64_t b) { return std::min(a + b, kNoEnd); }
int64_t product(int64_t a, int64_t b) { return std::min(a * b, kNoEnd); }

/// One last state, which leads on to nothing within.
std::string with_one_end(const std::string& text) { return fmt::format("({})()", text); }

std::string repeated(const Part& part, const Counts& counts) {
  const auto [least, most] = counts;
  if (most == 0) return "()";
  if (least == 1 && most == 1) return part.text;
  if (least == 0 && most == 1) return part.is_group ? "(" + part.text + "|)" : part.text + "?";
  if (least <= 1 && most == kNoEnd) return part.text + (least == 0 ? "*" : "+");
  const std::string counted = part.is_group ? fmt::format("({}())", part.text) : part.text;
  if (most == kNoEnd) return counted + fmt::format("{{{},}}", least);
  return counted + fmt::format("{{{},{}}}", least, most);
}

class PatternReader {
 public:
  PatternReader(std::string_view text, int64_t most_count) : text_(text), most_count_(most_count) {}

  Pattern read() {
    constexpr std::string_view kAnyCase = "(?i)";
    if (text_.starts_with(kAnyCase)) {
      at_ = kAnyCase.size();
      is_any_case_ = true;
    }
    const Part whole = alternatives(0);
    if (at_ < text_.size()) refuse("has a ) that closes nothing");
    return {.text = with_one_end(whole.text), .lengths = whole.lengths};
  }

 private:
  [[noreturn]] void refuse(const std::string& what, const std::string& hint = {}) const {
    throw InputError({.what = fmt::format("{}, at byte {}", what, at_), .hint = hint});
  }

  bool is_at_end() const { return at_ == text_.size(); }
  bool is_at(char c) const { return !is_at_end() && text_[at_] == c; }
  bool take(char c) {
    if (!is_at(c)) return false;
    ++at_;
    return true;
  }
  bool take(std::string_view expected) {
    if (!text_.substr(at_).starts_with(expected)) return false;
    at_ += expected.size();
    return true;
  }
  uint32_t take_character() {
    if (is_at_end()) refuse("ends too early");
    const CodePoint next = code_point_at(text_, at_);
    at_ += static_cast<size_t>(next.bytes);
    return next.value;
  }

  /// Up to the end or the ) of a group.
  Part alternatives(int level) {
    if (level > kMostLevels) refuse("has groups too deep in one another");
    Part out = sequence(level);
    while (take('|')) {
      const Part next = sequence(level);
      out.text += "|" + next.text;
      out.lengths = {.least = std::min(out.lengths.least, next.lengths.least),
                     .most = std::max(out.lengths.most, next.lengths.most)};
    }
    return out;
  }

  Part sequence(int level) {
    Part out{.text = "", .lengths = {.least = 0, .most = 0}};
    // All of a text is matched anyway.
    if (level == 0) take('^');
    while (!is_at_end() && !is_at('|') && !is_at(')')) {
      if (level == 0 && take('$')) {
        if (!is_at_end() && !is_at('|')) refuse("goes on after the end of a text ($)");
        break;
      }
      const Part part = atom(level);
      const Counts counts = take_counts();
      out.text += repeated(part, counts);
      out.lengths = {
          .least = sum(out.lengths.least, product(part.lengths.least, counts.least)),
          .most = sum(out.lengths.most, product(part.lengths.most, counts.most)),
      };
    }
    return out;
  }

  Part atom(int level) {
    if (is_at('^') || is_at('$')) refuse("has an anchor within");
    if (is_at('*') || is_at('+') || is_at('?') || is_at('{')) refuse("repeats nothing");
    if (is_at(']')) refuse("has a ] that closes nothing");
    if (take('(')) return group(level);
    const CharacterSet set = take_set().plain_in_json();
    if (set.empty()) {
      refuse("speaks of characters that JSON escapes", "use classes, as \\s and \\w");
    }
    return {.text = set.expression(), .lengths = {.least = 1, .most = 1}};
  }

  Part group(int level) {
    if (take('?') && !take(':')) {
      if (!take("P<") && !take('<')) refuse("looks ahead, or has a mark of groups not known here");
      if (is_at('=') || is_at('!')) refuse("looks behind");
      const size_t end = text_.find('>', at_);
      if (end == text_.npos) refuse("has a group whose name does not end");
      at_ = end + 1;
    }
    Part out = alternatives(level + 1);
    if (!take(')')) refuse("has a group that does not end");
    out.text = "(" + out.text + ")";
    out.is_group = true;
    return out;
  }

  Counts take_counts() {
    Counts counts;
    if (take('?')) {
      counts = {.least = 0, .most = 1};
    } else if (take('*')) {
      counts = {.least = 0, .most = kNoEnd};
    } else if (take('+')) {
      counts = {.least = 1, .most = kNoEnd};
    } else if (take('{')) {
      counts = counts_in_braces();
    } else {
      return counts;
    }
    take('?');  // as few as can be: the same texts
    if (is_at('?') || is_at('*') || is_at('+') || is_at('{')) refuse("repeats a repetition");
    return counts;
  }

  Counts counts_in_braces() {
    Counts counts;
    counts.least = take_count();
    counts.most = counts.least;
    if (take(',')) counts.most = is_at('}') ? kNoEnd : take_count();
    if (!take('}')) refuse("has a count that does not end");
    if (counts.most < counts.least) refuse("has counts that are the wrong way round");
    return counts;
  }

  int64_t take_count() {
    const size_t begin = at_;
    int64_t count = 0;
    for (; !is_at_end() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
      count = sum(product(count, 10), text_[at_] - '0');
    }
    if (at_ == begin) refuse("has a { without a count");
    if (count > most_count_) refuse(fmt::format("counts to more than {}", most_count_));
    return count;
  }

  /// What one character may be.
  CharacterSet take_set() {
    if (take('[')) return take_class();
    if (take('.')) return CharacterSet().complement();
    CharacterSet named;
    const std::optional<uint32_t> one = take_one(named);
    return one ? cased(set_of(*one, *one)) : named;
  }

  CharacterSet cased(const CharacterSet& set) const {
    return is_any_case_ ? set.of_either_case() : set;
  }

  CharacterSet take_class() {
    const bool is_of_others = take('^');
    if (is_at(']')) refuse("has a class of nothing");
    CharacterSet out;
    while (!take(']')) {
      CharacterSet named;
      const std::optional<uint32_t> first = take_one(named);
      if (!first) {
        out.add(named);
      } else if (is_at('-') && at_ + 1 < text_.size() && text_[at_ + 1] != ']') {
        ++at_;
        const std::optional<uint32_t> last = take_one(named);
        if (!last || *last < *first) refuse("has a range that is none");
        out.add(set_of(*first, *last));
      } else {
        out.add(set_of(*first, *first));
      }
    }
    return is_of_others ? cased(out).complement() : cased(out);
  }

  /// A character; or none, and `named` are those of an escape.
  std::optional<uint32_t> take_one(CharacterSet& named) {
    if (!take('\\')) return take_character();
    const uint32_t letter = take_character();
    if (const std::optional<CharacterSet> set = named_set(letter)) {
      named = *set;
      return std::nullopt;
    }
    if (const std::optional<uint32_t> control = named_control(letter)) return control;
    if (letter == 'x') return take_hexadecimal(2);
    if (letter == 'u') return take_unicode();
    if (is_alphanumeric(letter)) refuse("has an escape not known here");
    return letter;
  }

  uint32_t take_hexadecimal(size_t digits) {
    uint32_t value = 0;
    for (size_t i = 0; i < digits; ++i) {
      constexpr std::string_view kDigitsOf16 = "0123456789abcdef";
      const uint32_t c = take_character();
      const size_t digit =
          is_alphanumeric(c) ? kDigitsOf16.find(static_cast<char>(c | 0x20)) : kDigitsOf16.npos;
      if (digit == kDigitsOf16.npos) refuse("has an escape that is no number");
      value = value * 16 + static_cast<uint32_t>(digit);
    }
    return value;
  }

  uint32_t take_unicode() {
    if (take('{')) {
      const size_t end = std::min(text_.find('}', at_), text_.size());
      constexpr size_t kMostDigits = 6;
      if (end == at_ || end - at_ > kMostDigits) refuse("has an escape that is no number");
      const uint32_t value = take_hexadecimal(end - at_);
      if (!take('}') || value > 0x10ffff) refuse("has an escape that is no character");
      return value;
    }
    const uint32_t high = take_hexadecimal(4);
    const bool is_high = high >= 0xd800 && high < 0xdc00;
    if (!is_high || !take("\\u")) return high;
    const uint32_t low = take_hexadecimal(4);
    if (low < 0xdc00 || low > 0xdfff) refuse("has half of a character");
    return 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
  }

  std::string_view text_;
  int64_t most_count_;
  size_t at_ = 0;
  bool is_any_case_ = false;
};

}  // namespace

Pattern read_pattern(std::string_view pattern, int64_t most_count) {
  return PatternReader(pattern, most_count).read();
}

std::optional<std::string> literal_pattern(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const CodePoint next = code_point_at(text, at);
    const CharacterSet plain = set_of(next.value, next.value).plain_in_json();
    if (plain.empty()) return std::nullopt;
    out += plain.expression();
    at += static_cast<size_t>(next.bytes);
  }
  return out;
}

}  // namespace dms::grammar
