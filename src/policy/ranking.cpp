// A score and a budget as a policy: when a prompt ends, the entries stay that score best; under a
// size also while answers grow, so that it holds for the whole generation; by chunks, as they come.

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <string>
#include <utility>

#include "dms/error.h"
#include "policy/score.h"

namespace dms::policy {
namespace {

class Ranking final : public cache::Policy {
 public:
  Ranking(ScorePtr score, const Budget& budget) : score_(std::move(score)), budget_(budget) {}

  int64_t window() const override { return 0; }
  cache::PolicyNeeds needs() const override {
    cache::PolicyNeeds needs = score_->needs();
    needs.output_norms = budget_.critical;
    return needs;
  }

  bool plans_at_prompt_end() const override { return true; }
  int64_t interval() const override {
    return budget_.chunk_length > 0 ? budget_.chunk_length : budget_.interval;
  }
  int64_t prompt_interval() const override { return plans_by_chunk() ? interval() : 0; }
  bool plans_by_chunk() const override { return budget_.chunk_length > 0; }
  bool plans_over_model() const override { return budget_.over == BudgetOver::model; }
  /// A size is that of all a head holds, a ratio that of what has ended.
  int64_t first_ranked(int64_t prompt_begin) const override {
    return budget_.entries ? 0 : prompt_begin;
  }

  std::vector<float> measure(const cache::HeadContents& head,
                             const cache::PolicyState* state) const override {
    return score_->measure(head, state);
  }

  std::unique_ptr<cache::PolicyState> new_state() const override { return score_->new_state(); }
  void see(const cache::SeenTokens& seen, cache::PolicyState& state) const override {
    score_->see(seen, state);
  }
  void see_replay(const cache::ReplayedTokens& replayed, cache::PolicyState& state) const override {
    score_->see_replay(replayed, state);
  }
  /// Before the plan, when all has been measured for it. Under a size, entries are ranked again.
  void observe(const cache::LayerEntries&, cache::PolicyState& state) const override {
    if (!budget_.entries) score_->forget_ranked(state);
  }

  cache::EvictionPlan plan(const cache::LayerEntries& layer,
                           const cache::PolicyState*) const override {
    return select(budget_, layer.heads, score_->rate(layer), first_kept(layer));
  }

  std::vector<cache::EvictionPlan> plan_model(
      std::span<const cache::LayerEntries> layers) const override {
    std::vector<cache::HeadEntries> heads;
    Scores scores;
    for (const cache::LayerEntries& layer : layers) {
      heads.insert(heads.end(), layer.heads.begin(), layer.heads.end());
      std::ranges::move(score_->rate(layer), std::back_inserter(scores));
    }
    cache::EvictionPlan plan =
        select(budget_, heads, std::move(scores), first_kept(layers.front()));
    std::vector<cache::EvictionPlan> plans;
    auto at = plan.begin();
    for (const cache::LayerEntries& layer : layers) {
      const auto end = at + std::ssize(layer.heads);
      plans.emplace_back(std::move_iterator(at), std::move_iterator(end));
      at = end;
    }
    return plans;
  }

 private:
  /// Of what has ended, no more stays in any case than it has.
  int64_t first_kept(const cache::LayerEntries& layer) const {
    const int64_t ended = layer.tokens - layer.prompt_begin;
    return layer.tokens - (ended > 0 ? std::min(score_->newest(), ended) : score_->newest());
  }

  ScorePtr score_;
  Budget budget_;
};

struct NamedScore {
  std::string_view name;
  ScoreMaker make;
  bool is_replayed = false;  // by whole prompts, and without the values' weights
};

/// What `base` may name; the first where it is not given.
constexpr std::array kScores{
    NamedScore{"snapkv", snapkv_score},
    NamedScore{"knorm", knorm_score},
    NamedScore{"keydiff", keydiff_score},
    NamedScore{"lagkv", lagkv_score},
    NamedScore{"expected_attention", expected_attention_score},
    NamedScore{"compactor", compactor_score},
    NamedScore{"rkv", rkv_score},
    NamedScore{"kvzip", kvzip_score, true},
    NamedScore{"kvzip_plus", kvzip_plus_score, true},
};

/// None is offered that a policy with these defaults can't have; one that is named all the same is
/// refused with its reason.
ScoreMaker base_score(ArgReader& args, const Budget& defaults) {
  const bool takes_replays = defaults.chunk_length == 0 && !defaults.critical;
  const std::string named = args.text("base");
  std::vector<std::string_view> names;
  for (const NamedScore& score : kScores) {
    if (takes_replays || !score.is_replayed || score.name == named) names.push_back(score.name);
  }
  return std::ranges::find(kScores, names[args.choice("base", names)], &NamedScore::name)->make;
}

/// A cut that spares some entries must leave others to choose from.
void refuse_idle_budget(const Budget& budget, const Score& score) {
  const auto refuse = [&](const char* field, int64_t got, int64_t spared, const char* which) {
    throw InputError({.field = field,
                      .what = "leaves nothing to choose from",
                      .got = std::to_string(got),
                      .expected = "more than the " + std::to_string(spared) + " " + which});
  };
  const char* const newest = "newest entries, which always stay";
  if (budget.entries && *budget.entries <= score.newest()) {
    refuse("policy_args.budget", *budget.entries, score.newest(), newest);
  }
  if (budget.entries && *budget.entries <= score.sinks()) {
    refuse("policy_args.budget",
           *budget.entries,
           score.sinks(),
           "first entries, which come before all others");
  }
  if (budget.chunk_length > 0 && budget.chunk_length <= score.newest()) {
    refuse("policy_args.chunk_length", budget.chunk_length, score.newest(), newest);
  }
}

/// An entry of each chunk stays in any case: of a chunk whose share is less, more than was asked
/// for. Over the model the ratio is that of all layers' entries together.
void refuse_short_chunks(const Budget& budget) {
  if (budget.chunk_length == 0 || budget.entries || budget.over == BudgetOver::model) return;
  constexpr double kRounding = 1e-6;
  const auto shortest =
      static_cast<int64_t>(std::ceil(1.0 / (1.0 - budget.compression_ratio) - kRounding));
  if (budget.chunk_length >= shortest) return;
  throw InputError({.field = "policy_args.chunk_length",
                    .what = "too short: one entry of each chunk stays, which is more than "
                            "compression_ratio leaves of it",
                    .got = std::to_string(budget.chunk_length),
                    .expected = "at least " + std::to_string(shortest)});
}

/// The model repeats prompts, once each when they have ended, and a repetition can't weigh values.
void refuse_without_replay(const Budget& budget, const cache::PolicyNeeds& needs) {
  if (needs.replay == cache::ReplayScore::none) return;
  const auto refuse = [](const char* field, std::string got, const char* expected) {
    throw InputError({.field = std::string("policy_args.") + field,
                      .what = "has no meaning for scores of a replay pass",
                      .got = std::move(got),
                      .expected = expected});
  };
  if (budget.chunk_length > 0) {
    refuse("chunk_length", std::to_string(budget.chunk_length), "whole prompts");
  }
  if (budget.critical) refuse("critical", "true", "kvzip_plus, which weighs values itself");
}

}  // namespace

Scores measured(const cache::LayerEntries& layer) {
  Scores scores;
  for (const cache::HeadEntries& head : layer.heads) scores.push_back(head.measured);
  return scores;
}

PolicyPtr make_ranking(std::string_view name,
                       const PolicyRequest& request,
                       ScoreMaker make,
                       const Budget& defaults) {
  refuse_window(name, request);
  ArgReader args(name, request.args);
  if (make == nullptr) make = base_score(args, defaults);
  const Budget budget = Budget::read(args, defaults);
  ScorePtr score = make(args, request);
  args.finish();
  refuse_idle_budget(budget, *score);
  refuse_short_chunks(budget);
  refuse_without_replay(budget, score->needs());
  return std::make_shared<Ranking>(std::move(score), budget);
}

PolicyPtr make_criticalkv(const PolicyRequest& request) {
  return make_ranking("criticalkv", request, nullptr, {.critical = true});
}

PolicyPtr make_adaptive(const PolicyRequest& request) {
  return make_ranking("adaptive", request, nullptr, {.over = BudgetOver::layer});
}

PolicyPtr make_chunked(const PolicyRequest& request) {
  return make_ranking("chunked", request, nullptr, {.chunk_length = kDefaultChunkLength});
}

}  // namespace dms::policy
