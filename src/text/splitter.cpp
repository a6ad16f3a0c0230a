#include "text/splitter.h"

#include <algorithm>

#include "text/unicode.h"
#include "text/utf8.h"

namespace dms::text {
namespace {

struct Part {
  size_t start;
  size_t end;
  bool is_match;
};

std::vector<Match> matches_of(const LiteralPattern& literal, std::string_view text) {
  std::vector<Match> matches;
  for (size_t at = text.find(literal.text); at != std::string_view::npos;) {
    matches.push_back({at, at + literal.text.size()});
    at = text.find(literal.text, matches.back().end);
  }
  return matches;
}

std::vector<Match> matches_of(FlagPattern pattern, std::string_view text) {
  std::vector<Match> matches;
  const uint16_t* bits = code_point_bits();
  for (size_t at = 0; at < text.size();) {
    const CodePoint next = code_point_at(text, at);
    const size_t end = at + static_cast<size_t>(next.bytes);
    if ((bits[next.value] & pattern.flag) != 0) matches.push_back({at, end});
    at = end;
  }
  return matches;
}

std::vector<Match> matches_of(KnownPattern pattern, std::string_view text) {
  std::vector<std::string_view> pieces;
  split_known(pattern, text, pieces);
  std::vector<Match> matches;
  for (const std::string_view piece : pieces) {
    const size_t start = static_cast<size_t>(piece.data() - text.data());
    matches.push_back({start, start + piece.size()});
  }
  return matches;
}

std::vector<Match> matches_of(const Regex& regex, std::string_view text) {
  return regex.find_all(text);
}

// Matches and the gaps between them, in order.
std::vector<Part> parts_of(const Pattern& pattern, bool invert, std::string_view text) {
  std::vector<Part> parts;
  size_t from = 0;
  for (const Match& match : find_matches(pattern, text)) {
    if (match.start > from) parts.push_back({from, match.start, invert});
    parts.push_back({match.start, match.end, !invert});
    from = match.end;
  }
  if (from < text.size()) parts.push_back({from, text.size(), invert});
  return parts;
}

// Joins a part to the one before it where `joins(previous is a match, this is a match)`.
template <class Joins>
std::vector<Part> joined(const std::vector<Part>& parts, const Joins& joins) {
  std::vector<Part> out;
  bool previous = false;
  for (const Part& part : parts) {
    if (!out.empty() && joins(previous, part.is_match)) {
      out.back().start = std::min(out.back().start, part.start);
      out.back().end = std::max(out.back().end, part.end);
    } else {
      out.push_back(part);
    }
    previous = part.is_match;
  }
  return out;
}

std::vector<Part> arranged(std::vector<Part> parts, SplitBehavior behavior) {
  const auto match_after_gap = [](bool previous, bool current) { return current && !previous; };
  switch (behavior) {
    case SplitBehavior::isolated:
      return parts;
    case SplitBehavior::removed:
      std::erase_if(parts, [](const Part& part) { return part.is_match; });
      return parts;
    case SplitBehavior::contiguous:
      return joined(parts, [](bool previous, bool current) { return previous == current; });
    case SplitBehavior::merged_with_previous:
      return joined(parts, match_after_gap);
    case SplitBehavior::merged_with_next:
      std::reverse(parts.begin(), parts.end());
      parts = joined(parts, match_after_gap);
      std::reverse(parts.begin(), parts.end());
      return parts;
  }
  return parts;
}

}  // namespace

std::vector<Match> find_matches(const Pattern& pattern, std::string_view text) {
  return std::visit([&](const auto& kind) { return matches_of(kind, text); }, pattern);
}

std::string replace_matches(const Pattern& pattern,
                            std::string_view text,
                            std::string_view content,
                            const GrowthLimit& limit) {
  const std::vector<Match> matches = find_matches(pattern, text);
  size_t bytes = text.size() + matches.size() * content.size();
  for (const Match& match : matches) bytes -= match.end - match.start;
  limit.check(bytes);
  std::string out;
  out.reserve(bytes);
  size_t from = 0;
  for (const Match& match : matches) {
    out += text.substr(from, match.start - from);
    out += content;
    from = match.end;
  }
  out += text.substr(from);
  return out;
}

void split(const Pattern& pattern,
           SplitBehavior behavior,
           bool invert,
           std::string_view text,
           std::vector<std::string_view>& pieces) {
  const bool covers_all = std::holds_alternative<KnownPattern>(pattern);
  if (covers_all && behavior == SplitBehavior::isolated) {
    split_known(std::get<KnownPattern>(pattern), text, pieces);
    return;
  }
  for (const Part& part : arranged(parts_of(pattern, invert, text), behavior)) {
    if (part.end > part.start) pieces.push_back(text.substr(part.start, part.end - part.start));
  }
}

}  // namespace dms::text
