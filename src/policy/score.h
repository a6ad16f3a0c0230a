#pragma once
// What a layer's entries are worth, by name: the half of a ranking policy that differs from one to
// the next. A score is one file and one line in ranking.cpp; how many stay is Budget's.

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "policy/budget.h"
#include "policy/policy.h"

namespace dms::policy {

/// Immutable; what one has to remember of a sequence is a state of its own, as of cache::Policy.
class Score {
 public:
  virtual ~Score() = default;

  virtual cache::PolicyNeeds needs() const = 0;
  /// The entries of so many last tokens stay whatever their scores.
  virtual int64_t newest() const { return 0; }
  /// So do those of so many first ones.
  virtual int64_t sinks() const { return 0; }
  /// As Policy::measure().
  virtual std::vector<float> measure(const cache::HeadContents&, const cache::PolicyState*) const {
    return {};
  }
  /// As Policy::new_state(), see() and see_replay().
  virtual std::unique_ptr<cache::PolicyState> new_state() const { return nullptr; }
  virtual void see(const cache::SeenTokens&, cache::PolicyState&) const {}
  virtual void see_replay(const cache::ReplayedTokens&, cache::PolicyState&) const {}
  /// No entry is asked for again that is there: what the state has of them may go.
  virtual void forget_ranked(cache::PolicyState&) const {}
  /// A score for each entry.
  virtual Scores rate(const cache::LayerEntries& layer) const = 0;
};

/// What measure() made of each head, where that is the score.
Scores measured(const cache::LayerEntries& layer);

using ScorePtr = std::unique_ptr<const Score>;

/// Reads the score's own arguments. Throws InputError.
using ScoreMaker = ScorePtr (*)(ArgReader& args, const PolicyRequest& request);

ScorePtr knorm_score(ArgReader& args, const PolicyRequest& request);
ScorePtr snapkv_score(ArgReader& args, const PolicyRequest& request);
ScorePtr keydiff_score(ArgReader& args, const PolicyRequest& request);
ScorePtr lagkv_score(ArgReader& args, const PolicyRequest& request);
ScorePtr expected_attention_score(ArgReader& args, const PolicyRequest& request);
ScorePtr compactor_score(ArgReader& args, const PolicyRequest& request);
ScorePtr rkv_score(ArgReader& args, const PolicyRequest& request);
ScorePtr kvzip_score(ArgReader& args, const PolicyRequest& request);
ScorePtr kvzip_plus_score(ArgReader& args, const PolicyRequest& request);

/// A policy that keeps what scores best within its budget; `make` null: the score that the argument
/// `base` names. Throws InputError.
PolicyPtr make_ranking(std::string_view name,
                       const PolicyRequest& request,
                       ScoreMaker make,
                       const Budget& defaults = {});

}  // namespace dms::policy
