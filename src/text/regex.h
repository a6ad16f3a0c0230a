#pragma once
// A pattern of tokenizer.json, run by PCRE2's JIT under limits on matching steps and memory.

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/function_ref.h"
#include "text/regex_work.h"

namespace dms::text {

/// Byte offsets [start, end) of a match.
struct Match {
  size_t start;
  size_t end;
};

/// Takes a match; false asks for no more of them.
using MatchSink = FunctionRef<bool(const Match&)>;

/// Thread-safe, movable.
class Regex {
 public:
  /// Throws InputError when the pattern cannot be translated or compiled; `where` names its place.
  Regex(std::string_view pattern, std::string where);
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;
  ~Regex();

  /// Gives all matches in well-formed UTF-8, left to right, not overlapping; an empty match right
  /// after another match is left out. Returns false when `sink` did. Throws InputError when the
  /// pattern needs more steps than `work` has left.
  bool find_each(std::string_view text, RegexWork& work, MatchSink sink) const;

 private:
  struct Code;
  std::optional<Match> find(std::string_view text, size_t from, RegexWork& work) const;
  std::optional<Match> find_counted(std::string_view text, size_t at, RegexWork& work) const;

  std::unique_ptr<Code> code_;
};

}  // namespace dms::text
