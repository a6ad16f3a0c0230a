#include "text/score_merges.h"

#include <algorithm>
#include <string_view>
#include <unordered_map>

#include "base/check.h"
#include "base/utf8.h"

namespace dms::text {
namespace {

struct Join {
  double score;
  size_t left_characters;
  size_t right_characters;
  std::string_view left;
  std::string_view right;
};

bool comes_before(const Join& a, const Join& b) {
  if (a.score != b.score) return a.score > b.score;
  if (a.left_characters != b.left_characters) return a.left_characters > b.left_characters;
  return a.right_characters > b.right_characters;
}

}  // namespace

std::vector<Merge> merges_by_score(const std::vector<std::string>& tokens,
                                   const std::vector<double>& scores) {
  ensure(tokens.size() == scores.size(), "a score for each token");
  std::unordered_map<std::string_view, size_t> ids;
  for (size_t id = 0; id < tokens.size(); ++id) ids[tokens[id]] = id;
  std::vector<Join> joins;
  for (size_t id = 0; id < tokens.size(); ++id) {
    const std::string_view token = tokens[id];
    if (ids.at(token) != id) continue;
    const size_t characters = count_code_points(token);
    size_t left_characters = 0;
    for (size_t at = 0; at < token.size();) {
      at += static_cast<size_t>(code_point_at(token, at).bytes);
      ++left_characters;
      const std::string_view left = token.substr(0, at);
      const std::string_view right = token.substr(at);
      if (!ids.contains(left) || !ids.contains(right)) continue;
      joins.push_back({.score = scores[id],
                       .left_characters = left_characters,
                       .right_characters = characters - left_characters,
                       .left = left,
                       .right = right});
    }
  }
  std::ranges::stable_sort(joins, comes_before);
  std::vector<Merge> merges;
  merges.reserve(joins.size());
  for (const Join& join : joins)
    merges.push_back({std::string(join.left), std::string(join.right)});
  return merges;
}

}  // namespace dms::text
