#include "engine/stop_matcher.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "dms/error.h"

namespace dms::engine {
namespace {

constexpr char kShown = 's';
constexpr char kHidden = 'h';

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
  if (stops_.size() > kMaxStops) {
    throw InputError({.field = "stop",
                      .what = "too many stop strings",
                      .got = std::to_string(stops_.size()),
                      .expected = "at most " + std::to_string(kMaxStops)});
  }
  for (const std::string& stop : stops_) {
    if (stop.empty()) throw InputError({.field = "stop", .what = "empty stop string"});
    if (stop.size() > kMaxStopBytes) {
      throw InputError({.field = "stop",
                        .what = "stop string too long",
                        .got = std::to_string(stop.size()) + " bytes",
                        .expected = "at most " + std::to_string(kMaxStopBytes)});
    }
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

std::string StopMatcher::release(size_t count) {
  std::string shown;
  for (size_t i = 0; i < count; ++i) {
    if (marks_[i] == kShown) shown += pending_[i];
  }
  pending_.erase(0, count);
  marks_.erase(0, count);
  return shown;
}

StopMatcher::Result StopMatcher::take(std::string_view piece, char mark) {
  if (stopped_) return {.emit = {}, .stopped = true};
  pending_ += piece;
  marks_.append(piece.size(), mark);
  if (const std::optional<Match> match = first_match(pending_, stops_)) {
    stopped_ = true;
    Result result{.emit = release(match->start), .stopped = true};
    pending_.clear();
    return result;
  }
  return {.emit = release(pending_.size() - held_suffix()), .stopped = false};
}

StopMatcher::Result StopMatcher::push(std::string_view piece) { return take(piece, kShown); }

StopMatcher::Result StopMatcher::push_hidden(std::string_view piece) {
  return take(piece, kHidden);
}

std::string StopMatcher::finish() { return release(pending_.size()); }

}  // namespace dms::engine
