// KVzip (Kim et al., arXiv 2505.23416) and KVzip+ (arXiv 2601.07891): the model repeats a prompt
// when it has ended, and of all layers together the entries stay that the repetition attends most
// (cpu/replay.h). As NVIDIA/kvpress's KVzipPress. Under a size, entries keep the score of the last
// repetition while an answer grows; the answer's own, which nothing has repeated yet, are better
// than any but the sinks, of them the newer.

#include <algorithm>
#include <cstddef>
#include <utility>

#include "policy/score.h"

namespace dms::policy {
namespace {

/// Of tokens that no replay has seen.
constexpr float kUnseen = kBest;

/// What the last replay gave.
class ReplayScores final : public cache::PolicyState {
 public:
  explicit ReplayScores(int64_t kv_heads) : kv_heads_(kv_heads) {}

  std::unique_ptr<cache::PolicyState> fork() const override {
    return std::make_unique<ReplayScores>(*this);
  }
  void restart() override {
    count_ = 0;
    scores_ = std::vector<float>();  // {} would keep the memory
  }
  void write(ByteWriter& out) const override {
    out.value(first_);
    out.value(count_);
    out.list(std::span(scores_));
  }
  void read(ByteReader& in) override {
    constexpr int64_t kMaxTokens = int64_t{1} << 40;
    first_ = in.number(0, kMaxTokens, "the first token with a score");
    count_ = in.number(0, kMaxTokens, "the number of tokens with a score");
    scores_ = in.list<float>();
    in.require(std::ssize(scores_) == kv_heads_ * count_, "scores of another number");
  }
  int64_t bytes() const override {
    return static_cast<int64_t>(scores_.capacity() * sizeof(float));
  }
  int64_t most_bytes(int64_t tokens) const override {
    return kv_heads_ * tokens * static_cast<int64_t>(sizeof(float));
  }

  void take(const cache::ReplayedTokens& replayed) {
    first_ = replayed.first;
    count_ = replayed.count;
    scores_.assign(replayed.scores.begin(), replayed.scores.end());
  }
  float score(int64_t head, int64_t position) const {
    const int64_t at = position - first_;
    if (at < 0 || at >= count_) return kUnseen;
    return scores_[static_cast<size_t>(head * count_ + at)];
  }

 private:
  int64_t kv_heads_;
  int64_t first_ = 0;
  int64_t count_ = 0;
  std::vector<float> scores_;  // [kv_heads, count]
};

class Kvzip final : public Score {
 public:
  Kvzip(cache::ReplayScore replay, int64_t kv_heads, int64_t n_sink)
      : replay_(replay), kv_heads_(kv_heads), n_sink_(n_sink) {}

  cache::PolicyNeeds needs() const override { return {.replay = replay_, .prompts = true}; }
  int64_t sinks() const override { return n_sink_; }

  std::unique_ptr<cache::PolicyState> new_state() const override {
    return std::make_unique<ReplayScores>(kv_heads_);
  }
  void see_replay(const cache::ReplayedTokens& replayed, cache::PolicyState& state) const override {
    static_cast<ReplayScores&>(state).take(replayed);
  }

  std::vector<float> measure(const cache::HeadContents& head,
                             const cache::PolicyState* state) const override {
    const auto& scores = static_cast<const ReplayScores&>(*state);
    std::vector<float> measured;
    for (const int32_t position : head.positions) {
      measured.push_back(position < n_sink_ ? kStays : scores.score(head.head, position));
    }
    return measured;
  }

  Scores rate(const cache::LayerEntries& layer) const override { return measured(layer); }

 private:
  cache::ReplayScore replay_;
  int64_t kv_heads_;
  int64_t n_sink_;
};

ScorePtr make_score(cache::ReplayScore replay, ArgReader& args, const PolicyRequest& request) {
  constexpr int64_t kMaxSinks = int64_t{1} << 16;
  return std::make_unique<Kvzip>(replay, request.kv_heads, args.integer("n_sink", 4, 0, kMaxSinks));
}

}  // namespace

ScorePtr kvzip_score(ArgReader& args, const PolicyRequest& request) {
  return make_score(cache::ReplayScore::attention, args, request);
}

ScorePtr kvzip_plus_score(ArgReader& args, const PolicyRequest& request) {
  return make_score(cache::ReplayScore::output, args, request);
}

PolicyPtr make_kvzip(const PolicyRequest& request) {
  return make_ranking("kvzip", request, kvzip_score, {.over = BudgetOver::model});
}

PolicyPtr make_kvzip_plus(const PolicyRequest& request) {
  return make_ranking("kvzip_plus", request, kvzip_plus_score, {.over = BudgetOver::model});
}

}  // namespace dms::policy
