#include "policy/adms/merging.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace dms::policy {
namespace {

std::span<float> row(std::vector<float>& rows, size_t i, int64_t width) {
  return std::span(rows).subspan(i * static_cast<size_t>(width), static_cast<size_t>(width));
}

std::span<const float> row(std::span<const float> rows, size_t i, int64_t width) {
  return rows.subspan(i * static_cast<size_t>(width), static_cast<size_t>(width));
}

/// Indices by rising position.
std::vector<size_t> order_of(std::span<const int32_t> positions) {
  std::vector<size_t> order(positions.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, {}, [&](size_t i) { return positions[i]; });
  return order;
}

void append(Points& points,
            int32_t position,
            int32_t count,
            std::span<const float> key,
            std::span<const float> value) {
  points.positions.push_back(position);
  points.counts.push_back(count);
  points.keys.insert(points.keys.end(), key.begin(), key.end());
  points.values.insert(points.values.end(), value.begin(), value.end());
}

}  // namespace

Points Merging::points(const cache::HeadContents& tokens,
                       const cache::MergedEntries& entries) const {
  const int64_t width = tokens.head_dim;
  Points points{.positions = {},
                .counts = {},
                .keys = {},
                .values = {},
                .head_dim = width,
                .turns = turns_->at(tokens.layer, tokens.rope_length)};
  std::vector<int32_t> positions(tokens.positions.begin(), tokens.positions.end());
  positions.insert(positions.end(), entries.positions.begin(), entries.positions.end());
  for (const size_t i : order_of(positions)) {
    if (i < tokens.positions.size()) {
      append(points, positions[i], 1, row(tokens.keys, i, width), row(tokens.values, i, width));
    } else {
      const size_t entry = i - tokens.positions.size();
      append(points,
             positions[i],
             entries.counts[entry],
             row(std::span(entries.keys), entry, width),
             row(std::span(entries.values), entry, width));
    }
    points.turns->turn(row(points.keys, points.positions.size() - 1, width), -positions[i]);
  }
  return points;
}

cache::MergedEntries Merging::merge(const Points& points,
                                    std::span<const int32_t> group_of,
                                    int64_t groups,
                                    const Middle& middle) const {
  const int64_t width = points.head_dim;
  std::vector<double> positions(static_cast<size_t>(groups));
  std::vector<int32_t> counts(positions.size());
  for (size_t i = 0; i < points.positions.size(); ++i) {
    const auto group = static_cast<size_t>(group_of[i]);
    counts[group] += points.counts[i];
    positions[group] += static_cast<double>(points.counts[i]) * points.positions[i];
  }
  std::vector<float> keys(static_cast<size_t>(groups * width));
  std::vector<float> values(keys.size());
  for (size_t i = 0; i < points.positions.size(); ++i) {
    const auto group = static_cast<size_t>(group_of[i]);
    const float share = static_cast<float>(points.counts[i]) / static_cast<float>(counts[group]);
    for (int64_t c = 0; c < width; ++c) {
      const auto from = i * static_cast<size_t>(width) + static_cast<size_t>(c);
      const auto to = group * static_cast<size_t>(width) + static_cast<size_t>(c);
      keys[to] += share * points.keys[from];
      values[to] += share * points.values[from];
    }
  }
  std::vector<int32_t> means;
  for (size_t group = 0; group < counts.size(); ++group) {
    const double mean = counts[group] == 0 ? 0.0 : positions[group] / counts[group];
    means.push_back(static_cast<int32_t>(std::lround(mean)));
  }
  Points entries{.positions = {},
                 .counts = {},
                 .keys = {},
                 .values = {},
                 .head_dim = width,
                 .turns = points.turns};
  for (const size_t group : order_of(means)) {
    if (counts[group] == 0) continue;
    append(entries,
           means[group],
           counts[group],
           row(std::span<const float>(keys), group, width),
           row(std::span<const float>(values), group, width));
  }
  return place(entries, middle);
}

cache::MergedEntries Merging::place(const Points& entries, const Middle& middle) const {
  cache::MergedEntries placed{
      .positions = {}, .counts = entries.counts, .keys = entries.keys, .values = entries.values};
  for (int64_t i = 0; i < entries.count(); ++i) {
    const int64_t mean = entries.positions[static_cast<size_t>(i)];
    const int64_t even = middle.begin + (2 * i + 1) * middle.tokens() / (2 * entries.count());
    int64_t anchor = mean;
    if (anchor_ == Anchor::grid) anchor = even;
    if (anchor_ == Anchor::hybrid) anchor = (mean + even) / 2;
    placed.positions.push_back(static_cast<int32_t>(anchor));
    entries.turns->turn(row(placed.keys, static_cast<size_t>(i), entries.head_dim), anchor);
  }
  return placed;
}

}  // namespace dms::policy
