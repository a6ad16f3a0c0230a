#pragma once
// Who computes next, and with what memory. Answers under way go first, one token each; prompts fill
// what the pass has left, in whole chunks; what is left then may go to guesses ahead of answers. A
// request is let in when what it is expected to hold fits beside the others. Where memory runs out
// all the same, cached prefixes go that nobody is about to start from; then prompts wait; then the
// other prefixes go; then the newest answer of the lowest priority gives its memory back and waits.
// Nothing fails that fits alone. Engine thread only.

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "engine/options.h"
#include "engine/pass.h"
#include "engine/prompt_sharing.h"
#include "engine/retention.h"
#include "engine/speculator.h"
#include "engine/swap_space.h"

namespace dms::engine {

class Scheduler {
 public:
  /// `model` outlives it.
  Scheduler(Model& model, EngineOptions options);

  void add(std::unique_ptr<Running> running);
  /// By priority, then age.
  const std::vector<std::unique_ptr<Running>>& requests() const { return requests_; }

  /// The next pass; its memory is reserved. Empty: nobody has anything to compute.
  Pass schedule();
  /// After a pass was committed: keeps beginnings, takes in the other answers of prompts.
  void settle(const Pass& pass);
  /// Removes those that are done; each is shown to `leave` first.
  void retire(const std::function<void(const Running&)>& leave);

  /// Drops prefixes until what is expected finds room, the last ones those that requests begin
  /// with; none where so much never would.
  void make_room(const Expectation& expected);

  int64_t preemptions() const { return preemptions_; }
  int64_t swaps() const { return swaps_; }
  int64_t swapped_bytes() const { return swap_.used_bytes(); }
  int64_t cached_prefixes() const { return sharing_.cache().size(); }

 private:
  void admit();
  Running* first_waiting() const;
  bool has_room(const Running& next);
  std::vector<Expectation> promised();
  std::vector<Expectation> expected_with(const Running& next);
  bool can_hold(std::span<const Expectation> expected, int64_t spare_bytes) const;
  void let_in(Running& next);
  bool drop_unwanted_prefix();
  Pass fill_pass(bool with_guesses);
  std::vector<Running*> choose_prompts(std::span<Running* const> prompts, int64_t& left);
  bool keep_what_fits(Pass& pass);
  bool preempt_newest();
  void give_up_newest(const Pass& wanted);
  void learn(const SequencePlan& plan, const Sequence& sequence);
  bool holds_memory(const Running& running) const;
  bool is_preemptable(const Running& running) const;
  int64_t preemptable_count() const;

  Model& model_;
  EngineOptions options_;
  SwapSpace swap_;  // outlives the requests
  std::vector<std::unique_ptr<Running>> requests_;
  PromptSharing sharing_;
  Speculator speculator_;
  Retention retention_;
  int64_t departures_ = 0;
  int64_t preemptions_ = 0;
  int64_t swaps_ = 0;
};

}  // namespace dms::engine
