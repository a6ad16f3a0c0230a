#pragma once
// A pattern and what to do with the text it matches: the common part of Split, Digits, Punctuation,
// Metaspace and Replace.

#include <string>
#include <string_view>
#include <variant>

#include "text/function_ref.h"
#include "text/growth_limit.h"
#include "text/known_patterns.h"
#include "text/regex.h"

namespace dms::text {

enum class SplitBehavior {
  removed,
  isolated,
  merged_with_previous,
  merged_with_next,
  contiguous,
};

/// What a splitter looks for.
struct LiteralPattern {
  std::string text;  // not empty
};
struct FlagPattern {
  uint16_t flag;  // single characters with this bit of unicode_tables.h
};
using Pattern = std::variant<LiteralPattern, FlagPattern, KnownPattern, Regex>;

/// Gives the matches in `text`, left to right; false when `sink` returned false.
bool for_each_match(const Pattern& pattern, std::string_view text, RegexWork& work, MatchSink sink);

/// `text` with every match replaced by `content`. Throws InputError, before it is made, when that
/// is beyond `limit`.
std::string replace_matches(const Pattern& pattern,
                            std::string_view text,
                            std::string_view content,
                            const GrowthLimit& limit,
                            RegexWork& work);

/// Gives the non-empty pieces of `text`, left to right; false when `sink` returned false. `invert`
/// swaps matches and gaps.
bool split(const Pattern& pattern,
           SplitBehavior behavior,
           bool invert,
           std::string_view text,
           RegexWork& work,
           PieceSink sink);

}  // namespace dms::text
