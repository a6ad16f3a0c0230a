#pragma once
// The patterns of JSON Schema, written anew for xgrammar 0.2.9: what it compiles is a text of JSON
// then, and one that matches. As it reads them,
//  - "(X)?" and "(X){2,}" lead from X's first state, or a later X's end, to an end within X: where
//    X's end leads on, as in "a(b[0-9]{1,9})?Z", parts of X pass for it;
//  - an end that nothing follows is taken for any other one, and what follows some of them then
//    follows all: "b|([ab]|b{1,2}){1,2}" lets "aaa" pass;
//  - a pattern with a character beyond ASCII, or with too many states, may speak of quotes and line
//    ends, which end a text of JSON or are none.
// So what is repeated, and the whole, gets one end of its own, and classes have no such characters.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace dms::grammar {

/// A text's length in characters.
struct LengthBounds {
  static constexpr int64_t kNoEnd = 1'000'000'000;  // as long as it likes
  int64_t least = 0;
  int64_t most = kNoEnd;
};

struct Pattern {
  std::string text;  // of ASCII; it matches whole texts
  LengthBounds lengths;
};

/// `pattern` as texts that it matches as a whole, without those that JSON writes with escapes.
/// Throws InputError with what is wrong, or not known here; counts go up to `most_count`.
Pattern read_pattern(std::string_view pattern, int64_t most_count);

/// What matches `text` alone; nothing where JSON writes it with escapes.
std::optional<std::string> literal_pattern(std::string_view text);

}  // namespace dms::grammar
