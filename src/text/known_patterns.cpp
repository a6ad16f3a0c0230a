#include "text/known_patterns.h"

#include <cstdint>

#include "base/utf8.h"
#include "text/unicode.h"

namespace dms::text {

const std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
const std::string_view kLlama3Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3})"
    R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
const std::string_view kQwen2Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N})"
    R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

namespace {

constexpr uint32_t kLongS = 0x17F;  // the only character outside ASCII that (?i) takes for "s"

enum class Kind : uint8_t { letter, number, space, other, end };

struct Character {
  Kind kind;
  uint32_t value;
  size_t bytes;
};

// Reads characters with their class.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text), bits_(code_point_bits()) {}

  Character at(size_t offset) const {
    if (offset >= text_.size()) return {Kind::end, 0, 0};
    const CodePoint next = code_point_at(text_, offset);
    return {kind(next.value), next.value, static_cast<size_t>(next.bytes)};
  }

  /// End of the run of `wanted` that begins at `offset`, at most `most` characters long.
  size_t skip(Kind wanted, size_t offset, size_t most = SIZE_MAX) const {
    for (; most > 0; --most) {
      const Character next = at(offset);
      if (next.kind != wanted) break;
      offset += next.bytes;
    }
    return offset;
  }

  size_t skip_newlines(size_t offset) const {
    while (offset < text_.size() && (text_[offset] == '\r' || text_[offset] == '\n')) ++offset;
    return offset;
  }

 private:
  Kind kind(uint32_t c) const {
    const uint16_t bits = bits_[c];
    if (is_letter(bits)) return Kind::letter;
    if (is_number(bits)) return Kind::number;
    return is_space(bits) ? Kind::space : Kind::other;
  }

  std::string_view text_;
  const uint16_t* bits_;
};

// End of 's 't 're 've 'm 'll 'd after the apostrophe at `offset`, or `offset` itself.
size_t contraction_end(const Scanner& text, size_t offset, bool ignore_case) {
  const auto lower = [&](const Character& c) -> uint32_t {
    if (!ignore_case) return c.value;
    if (c.value == kLongS) return 's';
    return c.value >= 'A' && c.value <= 'Z' ? c.value + 32 : c.value;
  };
  const Character first = text.at(offset + 1);
  const uint32_t one = lower(first);
  if (one == 's' || one == 't' || one == 'm' || one == 'd') return offset + 1 + first.bytes;
  const uint32_t two = lower(text.at(offset + 2));
  const bool pair = ((one == 'r' || one == 'v') && two == 'e') || (one == 'l' && two == 'l');
  return pair ? offset + 3 : offset;
}

struct SpaceRun {
  size_t end;
  size_t last;         // where its last character begins
  size_t newline_end;  // after its last CR or LF; the start when it has none
};

SpaceRun space_run(const Scanner& text, size_t start) {
  SpaceRun run{start, start, start};
  for (Character c = text.at(start); c.kind == Kind::space; c = text.at(run.end)) {
    run.last = run.end;
    run.end += c.bytes;
    if (c.value == '\r' || c.value == '\n') run.newline_end = run.end;
  }
  return run;
}

// \s+(?!\S)|\s+ : all of a run at the end of the text, else all but its last character.
size_t spaces_end(const Scanner& text, const SpaceRun& run, size_t start) {
  return text.at(run.end).kind == Kind::end || run.last == start ? run.end : run.last;
}

size_t gpt2_end(const Scanner& text, size_t start) {
  const Character first = text.at(start);
  if (first.value == '\'') {
    const size_t end = contraction_end(text, start, false);
    if (end > start) return end;
  }
  const size_t body = first.value == ' ' ? start + 1 : start;
  const Kind kind = text.at(body).kind;
  if (kind != Kind::space && kind != Kind::end) return text.skip(kind, body);
  return spaces_end(text, space_run(text, start), start);
}

size_t tiktoken_end(const Scanner& text, size_t start, size_t most_digits) {
  const Character first = text.at(start);
  if (first.value == '\'') {
    const size_t end = contraction_end(text, start, true);
    if (end > start) return end;
  }
  const size_t second = start + first.bytes;
  if (first.kind == Kind::letter) return text.skip(Kind::letter, second);
  if (first.kind == Kind::number) return text.skip(Kind::number, start, most_digits);
  if (first.value != '\r' && first.value != '\n' && text.at(second).kind == Kind::letter) {
    return text.skip(Kind::letter, second);
  }
  const size_t body = first.value == ' ' ? second : start;
  if (text.at(body).kind == Kind::other) {
    return text.skip_newlines(text.skip(Kind::other, body));
  }
  const SpaceRun run = space_run(text, start);
  return run.newline_end > start ? run.newline_end : spaces_end(text, run, start);
}

template <class End>
bool split_with(const End& end_of, std::string_view text, PieceSink sink) {
  const Scanner scanner(text);
  for (size_t start = 0; start < text.size();) {
    const size_t end = end_of(scanner, start);
    if (!sink(text.substr(start, end - start))) return false;
    start = end;
  }
  return true;
}

}  // namespace

std::optional<KnownPattern> recognise_pattern(std::string_view pattern) {
  if (pattern == kGpt2Pattern) return KnownPattern::gpt2;
  if (pattern == kLlama3Pattern) return KnownPattern::llama3;
  if (pattern == kQwen2Pattern) return KnownPattern::qwen2;
  return std::nullopt;
}

bool split_known(KnownPattern pattern, std::string_view text, PieceSink sink) {
  if (pattern == KnownPattern::gpt2) return split_with(gpt2_end, text, sink);
  const size_t most_digits = pattern == KnownPattern::llama3 ? 3 : 1;
  return split_with(
      [&](const Scanner& s, size_t start) { return tiktoken_end(s, start, most_digits); },
      text,
      sink);
}

}  // namespace dms::text
