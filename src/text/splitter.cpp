#include "text/splitter.h"

#include <cstring>
#include <optional>

#include "base/utf8.h"
#include "text/unicode.h"

namespace dms::text {
namespace {

bool each_match(const LiteralPattern& literal, std::string_view text, RegexWork&, MatchSink sink) {
  const std::string& sought = literal.text;
  for (size_t from = 0; from < text.size();) {
    // memmem takes linear time for any literal, which find() does not.
    const void* found =
        memmem(text.data() + from, text.size() - from, sought.data(), sought.size());
    if (found == nullptr) break;
    const auto start = static_cast<size_t>(static_cast<const char*>(found) - text.data());
    if (!sink({start, start + sought.size()})) return false;
    from = start + sought.size();
  }
  return true;
}

bool each_match(FlagPattern pattern, std::string_view text, RegexWork&, MatchSink sink) {
  const uint16_t* bits = code_point_bits();
  for (size_t at = 0; at < text.size();) {
    const CodePoint next = code_point_at(text, at);
    const size_t end = at + static_cast<size_t>(next.bytes);
    if ((bits[next.value] & pattern.flag) != 0 && !sink({at, end})) return false;
    at = end;
  }
  return true;
}

bool each_match(KnownPattern pattern, std::string_view text, RegexWork&, MatchSink sink) {
  return split_known(pattern, text, [&](std::string_view piece) {
    const size_t start = static_cast<size_t>(piece.data() - text.data());
    return sink({start, start + piece.size()});
  });
}

bool each_match(const Regex& regex, std::string_view text, RegexWork& work, MatchSink sink) {
  return regex.find_each(text, work, sink);
}

struct Part {
  size_t start;
  size_t end;
  bool is_match;
};

// Puts parts together as a behaviour asks: one waits until it is known whether the next joins it.
class Joiner {
 public:
  Joiner(std::string_view text, SplitBehavior behavior, PieceSink sink)
      : text_(text), behavior_(behavior), sink_(sink) {}

  bool take(const Part& part) {
    if (waiting_ && joins(last_was_match_, part.is_match)) {
      waiting_->end = part.end;
    } else {
      if (!flush()) return false;
      waiting_ = part;
    }
    last_was_match_ = part.is_match;
    return true;
  }

  bool flush() {
    const std::optional<Part> part = waiting_;
    waiting_.reset();
    if (!part || part->end == part->start) return true;
    if (behavior_ == SplitBehavior::removed && part->is_match) return true;
    return sink_(text_.substr(part->start, part->end - part->start));
  }

 private:
  bool joins(bool previous, bool current) const {
    switch (behavior_) {
      case SplitBehavior::contiguous:
        return previous == current;
      case SplitBehavior::merged_with_previous:
        return current && !previous;
      case SplitBehavior::merged_with_next:
        return previous && !current;
      case SplitBehavior::isolated:
      case SplitBehavior::removed:
        return false;
    }
    return false;
  }

  std::string_view text_;
  SplitBehavior behavior_;
  PieceSink sink_;
  std::optional<Part> waiting_;
  bool last_was_match_ = false;
};

}  // namespace

bool for_each_match(const Pattern& pattern,
                    std::string_view text,
                    RegexWork& work,
                    MatchSink sink) {
  return std::visit([&](const auto& kind) { return each_match(kind, text, work, sink); }, pattern);
}

std::string replace_matches(const Pattern& pattern,
                            std::string_view text,
                            std::string_view content,
                            const GrowthLimit& limit,
                            RegexWork& work) {
  std::string out;
  size_t bytes = text.size();
  if (!std::holds_alternative<Regex>(pattern)) {  // cheap enough to look twice
    for_each_match(pattern, text, work, [&](const Match& match) {
      bytes += content.size() - (match.end - match.start);
      return true;
    });
    limit.check(bytes);
    out.reserve(bytes);
  }
  size_t from = 0;
  for_each_match(pattern, text, work, [&](const Match& match) {
    limit.check(out.size() + (match.start - from) + content.size());
    out += text.substr(from, match.start - from);
    out += content;
    from = match.end;
    return true;
  });
  limit.check(out.size() + text.size() - from);
  out += text.substr(from);
  return out;
}

bool split(const Pattern& pattern,
           SplitBehavior behavior,
           bool invert,
           std::string_view text,
           RegexWork& work,
           PieceSink sink) {
  const bool covers_all = std::holds_alternative<KnownPattern>(pattern);
  if (covers_all && behavior == SplitBehavior::isolated) {
    return split_known(std::get<KnownPattern>(pattern), text, sink);
  }
  Joiner joiner(text, behavior, sink);
  size_t from = 0;
  const bool went_on = for_each_match(pattern, text, work, [&](const Match& match) {
    if (match.start > from && !joiner.take({from, match.start, invert})) return false;
    from = match.end;
    return joiner.take({match.start, match.end, !invert});
  });
  if (!went_on) return false;
  if (from < text.size() && !joiner.take({from, text.size(), invert})) return false;
  return joiner.flush();
}

}  // namespace dms::text
