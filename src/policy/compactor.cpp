// Compactor (Chari and Van Durme 2025): entries stay whose keys stand out from the space of all
// keys before they are turned, and which their neighbours on both sides attend. As NVIDIA/kvpress's
// CompactorPress; its random sketch is ours, and the same in every run.

#include <algorithm>
#include <cmath>

#include "base/euclidean_norm.h"
#include "policy/chunk_attention.h"
#include "policy/leverage.h"
#include "policy/rotation.h"
#include "policy/score.h"
#include "policy/weights.h"

namespace dms::policy {
namespace {

struct Settings {
  int64_t sink_size_start = 8;
  int64_t sink_size_end = 4;
  int64_t chunk_size = 256;
  int64_t sketch_dimension = 48;
  double blending = 0.35;
};

/// The entries of one head that are rated: neither the first tokens nor the last.
struct Middle {
  size_t begin = 0;
  size_t end = 0;
};

/// Mean and standard deviation of what all heads' measurements hold in one of their halves.
struct Spread {
  double mean = 0;
  double deviation = 1;

  double scaled(float x) const { return (static_cast<double>(x) - mean) / deviation; }
};

Spread spread(std::span<const std::vector<float>> rows) {
  double count = 0;
  double sum = 0;
  for (const std::vector<float>& row : rows) {
    for (const float x : row) sum += static_cast<double>(x);
    count += static_cast<double>(row.size());
  }
  Spread found{.mean = sum / std::max(count, 1.0)};
  double squares = 0;
  for (const std::vector<float>& row : rows) {
    for (const float x : row) squares += (x - found.mean) * (x - found.mean);
  }
  found.deviation = std::max(std::sqrt(squares / std::max(count - 1.0, 1.0)), 1e-6);
  return found;
}

class Compactor final : public Score {
 public:
  Compactor(const Settings& settings, const PolicyRequest& request)
      : settings_(settings),
        rotations_(request.rotations),
        shape_{.kv_heads = request.kv_heads,
               .group = request.q_heads / std::max<int64_t>(request.kv_heads, 1),
               .head_dim = request.head_dim,
               .chunk_size = settings.chunk_size,
               .skipped = settings.sink_size_start,
               .spare = settings.sink_size_end,
               .position_bias = request.position_bias} {}

  cache::PolicyNeeds needs() const override { return {.contents = true, .every_token = true}; }
  int64_t sinks() const override { return settings_.sink_size_start; }

  std::unique_ptr<cache::PolicyState> new_state() const override {
    return std::make_unique<ChunkAttention>(shape_);
  }

  void see(const cache::SeenTokens& seen, cache::PolicyState& state) const override {
    static_cast<ChunkAttention&>(state).add(seen);
  }

  void forget_ranked(cache::PolicyState& state) const override {
    static_cast<ChunkAttention&>(state).forget_finished();
  }

  /// Leverage, then attention, of the entries that are rated.
  std::vector<float> measure(const cache::HeadContents& head,
                             const cache::PolicyState* state) const override {
    const Middle middle = middle_of(head.positions, head.tokens);
    std::vector<float> measured = leverage_of(head, middle);
    const auto& chunks = static_cast<const ChunkAttention&>(*state);
    const std::vector<float> sums = chunks.sums(head.head, head.tokens);
    const int64_t first = chunks.first_sum(head.tokens);
    const auto width = static_cast<size_t>(head.head_dim);
    std::vector<float> attention;
    for (size_t i = middle.begin; i < middle.end; ++i) {
      const auto at = static_cast<size_t>(head.positions[i] - first);
      const double sum = at < sums.size() ? sums[at] : 0.0f;  // a stranger's file may lack some
      const double size = euclidean_norm(head.values.subspan(i * width, width));
      attention.push_back(static_cast<float>(sum * size));
    }
    const std::vector<float> smooth = pooled(attention, 3);
    measured.insert(measured.end(), smooth.begin(), smooth.end());
    return measured;
  }

  Scores rate(const cache::LayerEntries& layer) const override {
    std::vector<std::vector<float>> leverages;
    std::vector<std::vector<float>> attentions;
    for (const cache::HeadEntries& head : layer.heads) {
      const auto half = head.measured.begin() + std::ssize(head.measured) / 2;
      leverages.emplace_back(head.measured.begin(), half);
      attentions.emplace_back(half, head.measured.end());
    }
    const Spread of_leverage = spread(leverages);
    const Spread of_attention = spread(attentions);
    Scores scores;
    for (size_t head = 0; head < layer.heads.size(); ++head) {
      const std::vector<int32_t>& positions = layer.heads[head].positions;
      std::vector<float>& of_head = scores.emplace_back(positions.size(), kBest);
      const size_t begin = middle_of(positions, layer.tokens).begin;
      std::fill_n(of_head.begin(), begin, kStays);
      for (size_t i = 0; i < leverages[head].size(); ++i) {
        of_head[begin + i] =
            static_cast<float>(settings_.blending * of_leverage.scaled(leverages[head][i]) +
                               of_attention.scaled(attentions[head][i]));
      }
    }
    return scores;
  }

 private:
  Middle middle_of(std::span<const int32_t> positions, int64_t tokens) const {
    const auto below = [&](int64_t position) {
      return static_cast<size_t>(std::ranges::lower_bound(positions, position) - positions.begin());
    };
    const size_t begin = below(settings_.sink_size_start);
    return {.begin = begin, .end = std::max(begin, below(tokens - settings_.sink_size_end))};
  }

  std::vector<float> leverage_of(const cache::HeadContents& head, const Middle& middle) const {
    const auto width = static_cast<size_t>(head.head_dim);
    const auto rotation = rotations_.at(head.layer, head.rope_length);
    std::vector<double> keys;
    std::vector<float> plain(width);
    for (size_t i = middle.begin; i < middle.end; ++i) {
      TurnsBack(*rotation, head.positions[i], 1)
          .undo(0, head.keys.subspan(i * width, width), plain);
      keys.insert(keys.end(), plain.begin(), plain.end());
    }
    return leverage(keys,
                    width,
                    static_cast<size_t>(settings_.sketch_dimension),
                    static_cast<uint64_t>(head.head));
  }

  Settings settings_;
  Rotations rotations_;
  ChunkAttention::Shape shape_;
};

}  // namespace

ScorePtr compactor_score(ArgReader& args, const PolicyRequest& request) {
  constexpr int64_t kMaxTokens = 1 << 10;
  constexpr int64_t kMaxSketch = 1024;
  Settings settings{.sink_size_start = args.integer("sink_size_start", 8, 0, kMaxTokens),
                    .sink_size_end = args.integer("sink_size_end", 4, 0, kMaxTokens),
                    .chunk_size = args.integer("chunk_size", 256, 1, kMaxTokens),
                    .sketch_dimension = args.integer("sketch_dimension", 48, 1, kMaxSketch)};
  if (!args.has("budget")) {
    settings.blending = args.share("compression_ratio", Budget{}.compression_ratio);
  }
  settings.blending = args.number("blending", settings.blending, 0.0, 1e6);
  return std::make_unique<Compactor>(settings, request);
}

PolicyPtr make_compactor(const PolicyRequest& request) {
  return make_ranking("compactor", request, compactor_score);
}

}  // namespace dms::policy
