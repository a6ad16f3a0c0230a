// TriAttention (Mao et al., arXiv 2604.04921): for long generation. Queries before RoPE lie close
// to a mean of their own, so that what a key will get of queries to come follows from that mean and
// the distance: a sum of cosines, one for each of RoPE's frequencies, averaged over distances ahead
// of it that double. What the mean does not tell of a query counts by sizes alone. Keys of answers
// are ranked, prompts stay. As the authors' code where each head of each layer chooses by itself;
// where no calibration gave the means, they are those of the sequence's own queries so far.

#include "policy/triattention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "dms/error.h"
#include "policy/budget.h"
#include "policy/frequency_means.h"
#include "policy/rotation.h"

namespace dms::policy {
namespace {

constexpr double kLeastDeviation = 1e-6;

struct Settings {
  int64_t budget = kTriAttentionBudget;
  int64_t interval = kDefaultInterval;
  int64_t offset_max_length = 65536;
  bool count_prompt_tokens = true;
};

/// `position` and each of 1, 2, 4 … up to `longest` more.
std::vector<int64_t> doubling_positions(int64_t position, int64_t longest) {
  std::vector<int64_t> positions;
  for (int64_t offset = 1; offset <= longest; offset *= 2) positions.push_back(position + offset);
  return positions;
}

/// Mean 0 and deviation 1.
void normalise(std::span<double> x) {
  if (x.empty()) return;
  const auto count = static_cast<double>(x.size());
  const double mean = std::accumulate(x.begin(), x.end(), 0.0) / count;
  double square = 0;
  for (const double value : x) square += (value - mean) * (value - mean);
  const double deviation = std::max(std::sqrt(square / count), kLeastDeviation);
  for (double& value : x) value = (value - mean) / deviation;
}

/// What is known of one query head's queries.
struct Queries {
  std::vector<double> mean;   // [head_dim]
  std::vector<double> sizes;  // [pairs], means
};

class TriAttention final : public cache::Policy {
 public:
  TriAttention(const Settings& settings, const PolicyRequest& request)
      : settings_(settings),
        rotations_(request.rotations),
        q_heads_(request.q_heads),
        head_dim_(request.head_dim),
        calibrated_(request.queries) {}

  int64_t window() const override { return 0; }
  cache::PolicyNeeds needs() const override {
    return {.contents = true, .every_token = !calibrated_, .prompts = true};
  }
  int64_t interval() const override { return settings_.interval; }
  int64_t prompt_interval() const override { return 0; }
  bool shares_prefixes() const override { return false; }  // it knows which tokens prompts were

  std::unique_ptr<cache::PolicyState> new_state() const override {
    if (calibrated_) return nullptr;
    return std::make_unique<FrequencyMeans>(q_heads_, head_dim_, rotations_.pairs());
  }
  void see(const cache::SeenTokens& seen, cache::PolicyState& state) const override {
    const auto rotation = rotations_.at(seen.layer, seen.rope_length);
    static_cast<FrequencyMeans&>(state).add(seen, *rotation);
  }

  std::vector<float> measure(const cache::HeadContents& head,
                             const cache::PolicyState* state) const override {
    const std::vector<size_t> ranked = of_answers(head);
    const auto rotation = rotations_.at(head.layer, head.rope_length);
    const MeanRotation ahead(*rotation,
                             doubling_positions(head.tokens, settings_.offset_max_length));
    std::vector<double> best(ranked.size(), -std::numeric_limits<double>::infinity());
    for (int64_t g = 0; g < head.group; ++g) {
      const std::vector<double> scores =
          expected(head, ranked, *rotation, ahead, queries_of(head, g, state));
      for (size_t i = 0; i < best.size(); ++i) best[i] = std::max(best[i], scores[i]);
    }
    std::vector<float> measured(head.positions.size(), kStays);
    for (size_t i = 0; i < best.size(); ++i) measured[ranked[i]] = static_cast<float>(best[i]);
    return measured;
  }

  cache::EvictionPlan plan(const cache::LayerEntries& layer,
                           const cache::PolicyState*) const override {
    Scores scores;
    std::vector<int64_t> drop;
    for (const cache::HeadEntries& head : layer.heads) {
      const std::vector<float>& score = scores.emplace_back(head.measured);
      const int64_t ranked =
          std::ssize(score) - static_cast<int64_t>(std::ranges::count(score, kStays));
      const int64_t counted = settings_.count_prompt_tokens ? std::ssize(score) : ranked;
      drop.push_back(std::min(counted - settings_.budget, ranked));
    }
    return drop_lowest(scores, drop);
  }

 private:
  /// Indices of the entries that no prompt brought.
  static std::vector<size_t> of_answers(const cache::HeadContents& head) {
    std::vector<size_t> ranked;
    auto prompt = head.prompts.begin();
    for (size_t i = 0; i < head.positions.size(); ++i) {
      while (prompt != head.prompts.end() && prompt->end <= head.positions[i]) ++prompt;
      const bool is_prompt = prompt != head.prompts.end() && prompt->begin <= head.positions[i];
      if (!is_prompt) ranked.push_back(i);
    }
    return ranked;
  }

  Queries queries_of(const cache::HeadContents& head,
                     int64_t member,
                     const cache::PolicyState* state) const {
    const int64_t q_head = head.head * head.group + member;
    if (!calibrated_) {
      const auto& means = static_cast<const FrequencyMeans&>(*state);
      return {.mean = means.mean(q_head), .sizes = means.mean_sizes(q_head)};
    }
    const int64_t row = head.layer * q_heads_ + q_head;
    const auto part = [row](const std::vector<float>& all, int64_t width) {
      return std::vector<double>(all.begin() + row * width, all.begin() + (row + 1) * width);
    };
    return {.mean = part(*calibrated_->means, head_dim_),
            .sizes = part(*calibrated_->sizes, rotations_.pairs())};
  }

  /// Of the ranked entries by one query head, normalised. Channels that do not turn, in some layers
  /// all, give their product whatever the distance.
  std::vector<double> expected(const cache::HeadContents& head,
                               std::span<const size_t> ranked,
                               const Rotation& rotation,
                               const MeanRotation& ahead,
                               Queries queries) const {
    const auto width = static_cast<size_t>(head_dim_);
    const size_t pairs = rotation.frequencies.size();
    std::vector<double>& query = queries.mean;
    std::vector<double>& rest = queries.sizes;  // beyond the size of the mean
    for (size_t f = 0; f < pairs; ++f) {
      rest[f] =
          (rest[f] - std::hypot(query[f], query[f + pairs])) * static_cast<double>(rotation.factor);
    }
    ahead.turn(query, 1);
    std::vector<double> scores;
    for (const size_t i : ranked) {
      const std::span<const float> key = head.keys.subspan(i * width, width);
      double score = 0;
      for (size_t c = 0; c < width; ++c) score += query[c] * static_cast<double>(key[c]);
      for (size_t f = 0; f < pairs; ++f) {
        score += rest[f] * pair_size(key, f, pairs);
      }
      scores.push_back(score);
    }
    normalise(scores);
    return scores;
  }

  Settings settings_;
  Rotations rotations_;
  int64_t q_heads_;
  int64_t head_dim_;
  std::optional<QueryStatistics> calibrated_;
};

}  // namespace

PolicyPtr make_triattention(const PolicyRequest& request) {
  constexpr int64_t kMax = int64_t{1} << 30;
  refuse_window("triattention", request);
  ArgReader args("triattention", request.args);
  const Settings settings{.budget = args.integer("budget", kTriAttentionBudget, 1, kMax),
                          .interval = args.integer("interval", kDefaultInterval, 1, kMax),
                          .offset_max_length = args.integer("offset_max_length", 65536, 1, kMax),
                          .count_prompt_tokens = args.boolean("count_prompt_tokens", true)};
  args.finish();
  if (request.rotations.pairs() == 0) {
    throw InputError({.field = "policy",
                      .what = "needs positions that turn keys (RoPE)",
                      .got = "triattention with a model that has none",
                      .expected = "another policy"});
  }
  return std::make_shared<TriAttention>(settings, request);
}

}  // namespace dms::policy
