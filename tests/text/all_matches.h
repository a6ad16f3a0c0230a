#pragma once
// What a pattern finds, as a list.

#include <string_view>
#include <vector>

#include "text/regex.h"

namespace dms::text::testing_support {

inline std::vector<Match> all_matches(const Regex& regex, std::string_view text) {
  std::vector<Match> matches;
  RegexWork work(text.size());
  regex.find_each(text, work, [&](const Match& match) {
    matches.push_back(match);
    return true;
  });
  return matches;
}

}  // namespace dms::text::testing_support
