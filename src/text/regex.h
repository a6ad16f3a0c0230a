#pragma once
// A pattern of tokenizer.json, run by PCRE2's JIT under limits on matching steps and memory.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace dms::text {

/// Byte offsets [start, end) of a match.
struct Match {
  size_t start;
  size_t end;
};

/// Thread-safe, movable.
class Regex {
 public:
  /// Throws InputError when the pattern cannot be translated or compiled; `where` names its place.
  Regex(std::string_view pattern, std::string where);
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;
  ~Regex();

  /// All matches in well-formed UTF-8, left to right, not overlapping; an empty match right after
  /// another match is left out. Throws InputError when the pattern needs too many steps.
  std::vector<Match> find_all(std::string_view text) const;

 private:
  struct Code;
  std::unique_ptr<Code> code_;
};

}  // namespace dms::text
