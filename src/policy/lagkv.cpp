// LagKV (Liang et al. 2025): a token is judged by how unevenly its channels lie within the range of
// those of the next partition of tokens. As NVIDIA/kvpress's LagKVPress.

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "policy/score.h"
#include "policy/weights.h"

namespace dms::policy {
namespace {

struct Channels {
  std::vector<float> low;   // [head_dim]
  std::vector<float> high;  // [head_dim]
};

/// The range of each channel over rows [rows, width].
Channels ranges(std::span<const float> rows, size_t width) {
  Channels channels{.low = std::vector<float>(width, std::numeric_limits<float>::infinity()),
                    .high = std::vector<float>(width, -std::numeric_limits<float>::infinity())};
  for (size_t at = 0; at < rows.size(); at += width) {
    for (size_t c = 0; c < width; ++c) {
      channels.low[c] = std::min(channels.low[c], rows[at + c]);
      channels.high[c] = std::max(channels.high[c], rows[at + c]);
    }
  }
  return channels;
}

/// Standard deviation over the channels of a row, each in units of its range.
double spread(std::span<const float> row, const Channels& reference) {
  const size_t width = row.size();
  std::vector<double> scaled(width);
  for (size_t c = 0; c < width; ++c) {
    const double range = static_cast<double>(reference.high[c]) - reference.low[c];
    const double offset = static_cast<double>(row[c]) - reference.low[c];
    scaled[c] = range > 0 ? offset / range : 0.0;  // a channel that never changes says nothing
  }
  const double mean =
      std::accumulate(scaled.begin(), scaled.end(), 0.0) / static_cast<double>(width);
  double sum = 0;
  for (const double value : scaled) sum += (value - mean) * (value - mean);
  return std::sqrt(sum / static_cast<double>(width - 1));
}

/// Adds half of the softmax over a partition of its rows' spreads.
void add_half(std::span<const float> rows,
              std::span<const float> next,
              size_t width,
              std::span<double> scores) {
  const Channels reference = ranges(next, width);
  std::vector<double> spreads;
  for (size_t i = 0; i < scores.size(); ++i) {
    spreads.push_back(spread(rows.subspan(i * width, width), reference));
  }
  softmax(spreads);
  for (size_t i = 0; i < scores.size(); ++i) scores[i] += 0.5 * spreads[i];
}

class Lagkv final : public Score {
 public:
  Lagkv(int64_t n_sink, int64_t lag_size, bool cross_scoring)
      : n_sink_(static_cast<size_t>(n_sink)),
        lag_size_(static_cast<size_t>(lag_size)),
        cross_scoring_(cross_scoring) {}

  cache::PolicyNeeds needs() const override { return {.contents = true}; }
  int64_t sinks() const override { return static_cast<int64_t>(n_sink_); }

  std::vector<float> measure(const cache::HeadContents& head,
                             const cache::PolicyState*) const override {
    const size_t count = head.positions.size();
    if (count < n_sink_ + 2 * lag_size_) return by_age(head.positions);
    // The last whole partition has none to be compared with, and stays with what follows it.
    const size_t compared = (count - n_sink_) / lag_size_ - 1;
    std::vector<float> scores(count, 1.0f);
    for (size_t i = 0; i < n_sink_; ++i) scores[i] = of_sink(head.positions[i]);
    for (size_t partition = 0; partition < compared; ++partition) {
      rate_partition(head, n_sink_ + partition * lag_size_, scores);
    }
    return scores;
  }

  Scores rate(const cache::LayerEntries& layer) const override { return measured(layer); }

 private:
  /// A later prompt's first entries are not compared either, but may go.
  float of_sink(int64_t position) const {
    return position < static_cast<int64_t>(n_sink_) ? kStays : kBest;
  }

  /// Where there are no two partitions, the newer stay.
  std::vector<float> by_age(std::span<const int32_t> positions) const {
    const size_t count = positions.size();
    std::vector<float> scores;
    for (size_t i = 0; i < std::min(n_sink_, count); ++i) scores.push_back(of_sink(positions[i]));
    scores.resize(count);
    for (size_t i = n_sink_; i < count; ++i) {
      scores[i] = static_cast<float>(i - n_sink_) / static_cast<float>(count - n_sink_);
    }
    return scores;
  }

  void rate_partition(const cache::HeadContents& head,
                      size_t first,
                      std::vector<float>& scores) const {
    const auto width = static_cast<size_t>(head.head_dim);
    std::vector<double> found(lag_size_, 0.0);
    for (const std::span<const float> rows : {head.keys, head.values}) {
      add_half(rows.subspan(first * width, lag_size_ * width),
               rows.subspan((first + lag_size_) * width, lag_size_ * width),
               width,
               found);
    }
    if (cross_scoring_) {
      std::ranges::transform(found, scores.begin() + static_cast<int64_t>(first), [](double score) {
        return static_cast<float>(score);
      });
      return;
    }
    std::vector<size_t> order(lag_size_);
    std::iota(order.begin(), order.end(), size_t{0});
    std::ranges::stable_sort(
        order, {}, [&](size_t i) { return std::isnan(found[i]) ? -1.0 : found[i]; });
    for (size_t rank = 0; rank < lag_size_; ++rank) {
      scores[first + order[rank]] = static_cast<float>(rank) / static_cast<float>(lag_size_);
    }
  }

  size_t n_sink_;
  size_t lag_size_;
  bool cross_scoring_;
};

}  // namespace

ScorePtr lagkv_score(ArgReader& args, const PolicyRequest&) {
  constexpr int64_t kMaxLag = int64_t{1} << 20;
  const int64_t n_sink = args.integer("n_sink", 4, 0, kMaxLag);
  const int64_t lag_size = args.integer("lag_size", 128, 2, kMaxLag);
  const bool cross_scoring = args.boolean("cross_scoring", false);
  return std::make_unique<Lagkv>(n_sink, lag_size, cross_scoring);
}

PolicyPtr make_lagkv(const PolicyRequest& request) {
  return make_ranking("lagkv", request, lagkv_score);
}

}  // namespace dms::policy
