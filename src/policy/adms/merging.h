#pragma once
// Entries as points that can be averaged, and groups of them as entries again: keys are turned back
// before they are averaged, and turned to the group's anchor after.

#include <cstdint>
#include <memory>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "cache/policy.h"
#include "policy/turn_table.h"

namespace dms::policy {

/// Where merged entries stand: at the mean of their members, at even distances over the middle, or
/// halfway between the two.
enum class Anchor { mean, grid, hybrid };

/// Positions [begin, end) of a head's middle.
struct Middle {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t tokens() const { return end - begin; }
};

/// By rising position.
struct Points {
  std::vector<int32_t> positions;
  std::vector<int32_t> counts;  // tokens that each stands for
  std::vector<float> keys;      // [points, head_dim], before they are turned
  std::vector<float> values;    // [points, head_dim]
  int64_t head_dim = 0;
  std::shared_ptr<const TurnTable> turns{};  // of their layer

  int64_t count() const { return std::ssize(positions); }
  int64_t tokens() const { return std::accumulate(counts.begin(), counts.end(), int64_t{0}); }
};

class Merging {
 public:
  Merging(std::shared_ptr<const TurnTables> turns, Anchor anchor)
      : turns_(std::move(turns)), anchor_(anchor) {}

  Points points(const cache::HeadContents& tokens, const cache::MergedEntries& entries) const;
  /// `group_of`: for each point, one of [0, groups). A group without points leaves no entry.
  cache::MergedEntries merge(const Points& points,
                             std::span<const int32_t> group_of,
                             int64_t groups,
                             const Middle& middle) const;
  /// Moves entries, whose keys are not turned yet, to their anchors by `entries.turns`.
  cache::MergedEntries place(const Points& entries, const Middle& middle) const;

 private:
  std::shared_ptr<const TurnTables> turns_;
  Anchor anchor_;
};

}  // namespace dms::policy
