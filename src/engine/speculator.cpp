#include "engine/speculator.h"

#include <algorithm>
#include <vector>

namespace dms::engine {
namespace {

// Of a pass with one row, whose time goes into reading the weights: what one more row adds.
constexpr double kRowCost = 0.1;

}  // namespace

Speculator::Speculator(const Model& model, const EngineOptions& options)
    : model_(model), draft_cost_(options.draft_cost) {
  if (options.draft_model != nullptr) {
    draft_model_.emplace(*options.draft_model, options.chunk_tokens);
  }
}

int64_t Speculator::drafts_wanted(Speculation& speculation,
                                  const PassCost& pass,
                                  int64_t most) const {
  PassCost draft_pass = pass;
  draft_pass.guess += draft_cost_;
  if (!draft_model_ || speculation.prefers_copies(pass, draft_pass, most)) return 0;
  return speculation.drafts_wanted(draft_pass, most);
}

void Speculator::guess(std::span<Running* const> answers, int64_t prompt_tokens, int64_t left) {
  const auto count = static_cast<double>(answers.size());
  const double rows = count + static_cast<double>(prompt_tokens);
  const PassCost pass{.tokens = count, .cost = 1 + kRowCost * (rows - 1), .guess = kRowCost};
  std::vector<Running*> drafted;
  std::vector<DraftWish> wishes;
  for (Running* running : answers) {
    const int64_t most = std::min(left, running->most_guesses(model_));
    if (most <= 0) continue;
    Speculation& speculation = running->speculation();
    const std::span<const int32_t> text = running->sequence().ids();
    speculation.look_up(text, running->next_token());
    const int64_t wanted = drafts_wanted(speculation, pass, most);
    if (wanted == 0) {
      const std::vector<int32_t> copy = speculation.copy(pass, most);
      running->set_guesses(copy);
      left -= std::ssize(copy);
      continue;
    }
    left -= wanted;
    drafted.push_back(running);
    DraftWish& wish = wishes.emplace_back(
        DraftWish{.sequence = &speculation.draft, .text = {text.begin(), text.end()}});
    wish.text.push_back(running->next_token());
    wish.count = wanted;
  }
  if (wishes.empty()) return;
  draft_model_->guess(wishes);
  for (size_t i = 0; i < wishes.size(); ++i) {
    const auto known = static_cast<size_t>(drafted[i]->sequence().tokens() + 1);
    drafted[i]->set_guesses(std::span(wishes[i].text).subspan(known));
  }
}

}  // namespace dms::engine
