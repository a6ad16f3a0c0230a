// Expected Attention (Devoto et al. 2025): queries to come are taken for normally distributed as
// those so far, turned by the positions to come; the entries stay that these will attend most,
// times the size of their values. As NVIDIA/kvpress's ExpectedAttentionPress.

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "base/euclidean_norm.h"
#include "policy/query_moments.h"
#include "policy/rotation.h"
#include "policy/score.h"
#include "policy/weights.h"

namespace dms::policy {
namespace {

struct Settings {
  int64_t n_future_positions = 512;
  int64_t n_sink = 4;
  bool use_covariance = true;
  bool use_vnorm = true;
  double epsilon = 0.0;
};

/// What is expected of one head's queries.
struct Expected {
  std::vector<double> mean;       // [head_dim]
  std::vector<float> covariance;  // [head_dim, head_dim], or empty
};

/// The logarithm of the mean of exp(scale * q . key) over the queries.
double expected_logit(const Expected& queries, std::span<const float> key, double scale) {
  const size_t width = key.size();
  double logit = 0;
  for (size_t c = 0; c < width; ++c) logit += queries.mean[c] * static_cast<double>(key[c]);
  logit *= scale;
  if (queries.covariance.empty()) return logit;
  std::vector<float> product(width, 0.0f);
  for (size_t a = 0; a < width; ++a) {
    const float* row = queries.covariance.data() + a * width;
    for (size_t b = 0; b < width; ++b) product[b] += key[a] * row[b];
  }
  double square = 0;
  for (size_t c = 0; c < width; ++c) square += static_cast<double>(product[c]) * key[c];
  return logit + 0.5 * scale * scale * square;
}

class ExpectedAttention final : public Score {
 public:
  ExpectedAttention(const Settings& settings, const PolicyRequest& request)
      : settings_(settings),
        rotations_(request.rotations),
        q_heads_(request.q_heads),
        head_dim_(request.head_dim) {}

  cache::PolicyNeeds needs() const override { return {.contents = true, .every_token = true}; }
  int64_t sinks() const override { return settings_.n_sink; }

  std::unique_ptr<cache::PolicyState> new_state() const override {
    return std::make_unique<QueryMoments>(q_heads_, head_dim_);
  }

  void see(const cache::SeenTokens& seen, cache::PolicyState& state) const override {
    const auto rotation = rotations_.at(seen.layer, seen.rope_length);
    static_cast<QueryMoments&>(state).add(seen, *rotation, settings_.n_sink);
  }

  std::vector<float> measure(const cache::HeadContents& head,
                             const cache::PolicyState* state) const override {
    const auto& moments = static_cast<const QueryMoments&>(*state);
    const auto width = static_cast<size_t>(head.head_dim);
    const size_t count = head.positions.size();
    const auto sinks = static_cast<size_t>(
        std::ranges::lower_bound(head.positions, settings_.n_sink) - head.positions.begin());
    std::vector<int64_t> to_come(static_cast<size_t>(settings_.n_future_positions));
    std::iota(to_come.begin(), to_come.end(), head.tokens);
    const MeanRotation ahead(*rotations_.at(head.layer, head.rope_length), to_come);
    std::vector<double> attention(count, 0.0);
    for (int64_t i = 0; i < head.group; ++i) {
      const Expected queries = expect(moments, ahead, head.head * head.group + i);
      add_attention(head, i, queries, std::span(attention).subspan(sinks));
    }
    std::vector<float> scores(sinks, kStays);
    for (size_t i = sinks; i < count; ++i) {
      double score = attention[i] / static_cast<double>(head.group);
      if (settings_.use_vnorm) {
        score = (score + settings_.epsilon) * euclidean_norm(head.values.subspan(i * width, width));
      }
      scores.push_back(static_cast<float>(score));
    }
    return scores;
  }

  Scores rate(const cache::LayerEntries& layer) const override { return measured(layer); }

 private:
  Expected expect(const QueryMoments& moments, const MeanRotation& ahead, int64_t q_head) const {
    Expected expected{.mean = moments.mean(q_head), .covariance = {}};
    ahead.turn(expected.mean, 1);
    if (!settings_.use_covariance) return expected;
    // Rows, then, the matrix being symmetric, columns as rows of its transpose.
    const auto width = static_cast<size_t>(head_dim_);
    std::vector<double> covariance = moments.covariance(q_head);
    ahead.turn(covariance, width);
    for (size_t a = 0; a < width; ++a) {
      for (size_t b = 0; b < a; ++b)
        std::swap(covariance[a * width + b], covariance[b * width + a]);
    }
    ahead.turn(covariance, width);
    expected.covariance.assign(covariance.begin(), covariance.end());
    return expected;
  }

  /// Adds the softmax over the entries that are no sinks, the last of `head`, of one of the group's
  /// query heads. Distances to come add the same to all entries, so that those from now serve.
  static void add_attention(const cache::HeadContents& head,
                            int64_t member,
                            const Expected& queries,
                            std::span<double> attention) {
    const auto width = static_cast<size_t>(head.head_dim);
    const size_t sinks = head.positions.size() - attention.size();
    const size_t first = static_cast<size_t>(member) * head.positions.size() + sinks;
    std::vector<double> weights;
    for (size_t i = 0; i < attention.size(); ++i) {
      weights.push_back(expected_logit(
          queries, head.keys.subspan((sinks + i) * width, width), head.attention_scale));
      if (!head.biases.empty()) {
        weights.back() += static_cast<double>(head.attention_scale) * head.biases[first + i];
      }
    }
    softmax(weights);
    for (size_t i = 0; i < weights.size(); ++i) attention[i] += weights[i];
  }

  Settings settings_;
  Rotations rotations_;
  int64_t q_heads_;
  int64_t head_dim_;
};

}  // namespace

ScorePtr expected_attention_score(ArgReader& args, const PolicyRequest& request) {
  constexpr int64_t kMaxPositions = int64_t{1} << 16;
  const Settings settings{
      .n_future_positions = args.integer("n_future_positions", 512, 1, kMaxPositions),
      .n_sink = args.integer("n_sink", 4, 0, kMaxPositions),
      .use_covariance = args.boolean("use_covariance", true),
      .use_vnorm = args.boolean("use_vnorm", true),
      .epsilon = args.number("epsilon", 0.0, 0.0, 1e6)};
  return std::make_unique<ExpectedAttention>(settings, request);
}

PolicyPtr make_expected_attention(const PolicyRequest& request) {
  return make_ranking("expected_attention", request, expected_attention_score);
}

}  // namespace dms::policy
