#include "engine/stop_matcher.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "dms/error.h"

namespace dms::engine {
namespace {

struct Match {
  size_t end = 0;
  size_t start = 0;
};

std::optional<Match> first_match(std::string_view text, const std::vector<std::string>& stops) {
  std::optional<Match> best;
  for (const std::string& stop : stops) {
    const size_t start = text.find(stop);
    if (start == std::string_view::npos) continue;
    const Match match{.end = start + stop.size(), .start = start};
    if (!best || std::pair(match.end, match.start) < std::pair(best->end, best->start)) {
      best = match;
    }
  }
  return best;
}

}  // namespace

StopMatcher::StopMatcher(std::vector<std::string> stops) : stops_(std::move(stops)) {
  if (std::ranges::any_of(stops_, &std::string::empty)) {
    throw InputError({.where = "stop", .what = "empty stop string"});
  }
}

size_t StopMatcher::held_suffix() const {
  const std::string_view text = pending_;
  size_t held = 0;
  for (const std::string& stop : stops_) {
    for (size_t length = std::min(stop.size() - 1, text.size()); length > held; --length) {
      if (std::string_view(stop).starts_with(text.substr(text.size() - length))) held = length;
    }
  }
  return held;
}

StopMatcher::Result StopMatcher::push(std::string_view piece) {
  if (stopped_) return {.emit = {}, .stopped = true};
  pending_ += piece;
  if (const std::optional<Match> match = first_match(pending_, stops_)) {
    stopped_ = true;
    pending_.resize(match->start);
    return {.emit = std::exchange(pending_, {}), .stopped = true};
  }
  const size_t ready = pending_.size() - held_suffix();
  Result result{.emit = pending_.substr(0, ready), .stopped = false};
  pending_.erase(0, ready);
  return result;
}

std::string StopMatcher::finish() { return std::exchange(pending_, {}); }

}  // namespace dms::engine
