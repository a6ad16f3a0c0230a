// A score and a budget as a policy: when a prompt ends, the entries stay that score best.

#include <utility>

#include "policy/score.h"

namespace dms::policy {
namespace {

class Ranking final : public cache::Policy {
 public:
  Ranking(ScorePtr score, const Budget& budget) : score_(std::move(score)), budget_(budget) {}

  int64_t window() const override { return 0; }
  cache::PolicyNeeds needs() const override { return score_->needs(); }
  bool plans_at_prompt_end() const override { return true; }

  /// A size is that of all a head holds, a ratio that of the prompt.
  int64_t first_ranked(int64_t prompt_begin) const override {
    return budget_.entries ? 0 : prompt_begin;
  }

  std::vector<float> measure(const cache::HeadContents& head,
                             const cache::PolicyState* state) const override {
    return score_->measure(head, state);
  }

  cache::EvictionPlan plan(const cache::LayerEntries& layer,
                           const cache::PolicyState*) const override {
    return select(budget_, layer, score_->rate(layer), score_->newest());
  }

 private:
  ScorePtr score_;
  Budget budget_;
};

}  // namespace

Scores measured(const cache::LayerEntries& layer) {
  Scores scores;
  for (const cache::HeadEntries& head : layer.heads) scores.push_back(head.measured);
  return scores;
}

PolicyPtr make_ranking(std::string_view name, const PolicyRequest& request, ScoreMaker make) {
  refuse_window(name, request);
  ArgReader args(name, request.args);
  const Budget budget = Budget::read(args);
  ScorePtr score = make(args, request);
  args.finish();
  return std::make_shared<Ranking>(std::move(score), budget);
}

}  // namespace dms::policy
