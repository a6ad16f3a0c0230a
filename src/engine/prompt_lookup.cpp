#include "engine/prompt_lookup.h"

#include <algorithm>
#include <utility>

namespace dms::engine {
namespace {

constexpr int64_t kMostPlaces = 32;
constexpr int32_t kNowhere = -1;

uint64_t pair_of(int32_t first, int32_t second) {
  return static_cast<uint64_t>(static_cast<uint32_t>(first)) << 32 | static_cast<uint32_t>(second);
}

}  // namespace

void PromptLookup::append(std::span<const int32_t> tokens) {
  for (const int32_t token : tokens) append(token);
}

void PromptLookup::append(int32_t token) {
  const auto at = static_cast<int32_t>(text_.size());
  int32_t before = kNowhere;
  if (at > 0) {
    const auto [place, is_new] = latest_.try_emplace(pair_of(text_.back(), token), at);
    if (!is_new) before = std::exchange(place->second, at);
  }
  text_.push_back(token);
  earlier_.push_back(before);
}

/// Equal tokens before text_[a] and text_[b], these included.
int64_t PromptLookup::common_tokens(int64_t a, int64_t b) const {
  const int64_t most = std::min({a, b, kLongestMatch - 1}) + 1;
  int64_t count = 0;
  while (count < most &&
         text_[static_cast<size_t>(a - count)] == text_[static_cast<size_t>(b - count)]) {
    ++count;
  }
  return count;
}

PromptLookup::Match PromptLookup::longest_match() const {
  Match best;
  if (text_.empty()) return best;
  int32_t place = earlier_.back();
  for (int64_t i = 0; i < kMostPlaces && place != kNowhere; ++i) {
    const int64_t length = common_tokens(place, tokens() - 1);
    if (length > best.length) best = {.end = place + 1, .length = length};
    place = earlier_[static_cast<size_t>(place)];
  }
  return best;
}

std::vector<int32_t> PromptLookup::following(const Match& match, int64_t count) const {
  std::vector<int32_t> out;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t from = match.end + i;
    out.push_back(from < tokens() ? text_[static_cast<size_t>(from)]
                                  : out[static_cast<size_t>(from - tokens())]);
  }
  return out;
}

}  // namespace dms::engine
