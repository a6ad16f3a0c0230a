#pragma once
// What may come next in one answer: a matcher that has read what was accepted, and masks for what
// is computed just now, one after each guess. The matcher belongs to whoever runs the task.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <xgrammar/matcher.h>

#include "dms/structure.h"
#include "engine/guide.h"
#include "grammar/mask.h"
#include "grammar/mask_worker.h"

namespace dms::text {
class Tokenizer;
}

namespace dms::grammar {

/// Some text of the form begins with a token, or is empty.
bool has_answers(const CompiledStructure& form);

/// What the masks of one answer may take of a core. It cannot be said beforehand: small forms have
/// masks that take seconds.
struct MaskBudget {
  double seconds = 1;           // for all of them
  double seconds_each = 0.020;  // and for each
};

class GrammarGuide final : public engine::Guide {
 public:
  /// `structure` is compiled. `tokenizer` and `worker` outlive the guide.
  GrammarGuide(const Structure& structure,
               std::vector<int32_t> ends,
               const text::Tokenizer& tokenizer,
               MaskWorker& worker,
               const MaskBudget& budget = {});
  ~GrammarGuide() override;

  void look_ahead(std::span<const int32_t> guesses) override;
  bool exclude(std::span<float> logits) override;
  void accept(int32_t token) override;

 private:
  bool has_begun() const { return begins_after_.empty(); }
  bool knows_next() const { return passed_ < masks_.size(); }
  void settle();
  void compute();
  Mask next_mask(double& since);
  void watch_for_beginning(int32_t token);

  std::shared_ptr<const CompiledStructure> compiled_;
  std::vector<int32_t> ends_;
  const text::Tokenizer& tokenizer_;
  MaskWorker& worker_;
  std::string begins_after_;  // empty once it has come
  std::string seen_;          // the end of what came before it

  // The task's while there is one.
  xgrammar::GrammarMatcher matcher_;
  std::vector<int32_t> unread_;   // accepted, and not yet read by the matcher
  std::vector<int32_t> guesses_;  // that follow it
  std::vector<Mask> masks_;       // before each guess, as far as they may come, and after the last
  MaskBudget budget_;             // what is left of it

  size_t passed_ = 0;  // guesses that were accepted
  std::shared_ptr<MaskWorker::Task> task_;
};

}  // namespace dms::grammar
