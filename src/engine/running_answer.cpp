// Of a Running: the tokens and the text of its answer.

#include <algorithm>
#include <memory>
#include <utility>

#include "engine/log_probabilities.h"
#include "engine/running.h"

namespace dms::engine {
namespace {

bool contains(std::span<const int32_t> ids, int32_t id) {
  return std::ranges::find(ids, id) != ids.end();
}

}  // namespace

/// The prompt is computed: its answers begin, each with a sequence of its own.
void Running::answer(const Model& model, std::span<const float> logits) {
  for (int64_t i = 1; i < answers_; ++i) {
    branches_.push_back(std::unique_ptr<Running>(new Running(*this, i)));
  }
  answers_ = 1;
  sample(model, logits);
  for (const auto& branch : branches_) {
    try {
      branch->sample(model, logits);
    } catch (const std::exception& error) {
      branch->fail(model, error);
    }
  }
}

void Running::sample(const Model& model, std::span<const float> logits) {
  std::vector<float> row(logits.begin(), logits.end());
  const int64_t alternatives = submission_.request.sampling.log_probabilities;
  if (guide_ && !guide_->exclude(row)) {
    finish(model, "stop");
    return;
  }
  const int32_t token = sampler_.sample(row);
  accept(model,
         alternatives < 0 ? TokenChoice{.chosen = {.id = token}}
                          : choice_of(logits, token, alternatives));
}

/// Every token is sampled from its own logits, guessed or not: a guess is right where it is what
/// was sampled, and the text is the one that it would be without guesses.
void Running::verify(const Model& model,
                     const Work& work,
                     std::span<const float> rows,
                     const std::function<bool()>& is_unwanted) {
  const auto vocab = static_cast<size_t>(model.vocab());
  const std::vector<int32_t> ids(work.ids.begin(), work.ids.end());
  result_.drafted_tokens += work.drafted;
  int64_t right = 0;
  for (;; ++right) {
    unverified_ = work.drafted - right;
    sample(model, rows.subspan(static_cast<size_t>(right) * vocab, vocab));
    if (is_done_ || unverified_ == 0) break;
    if (next_tokens_.front() != ids[static_cast<size_t>(right + 1)] || is_unwanted()) break;
    ++result_.accepted_tokens;
    ++result_.timings.decode_tokens;
    ++sequence().timings().decode_tokens;
  }
  take_back_guesses();
  if (work.drafted > 0) speculation_.learn(work.drafted, right);
  const int64_t unreported = std::ssize(result_.ids) - reported_ids_;
  if (!is_done_ && unreported >= request().report_tokens) report_memory(model);
}

/// Those that turned out wrong, or that nobody wants any more.
void Running::take_back_guesses() {
  if (unverified_ == 0) return;
  sequence().truncate(sequence().tokens() - std::exchange(unverified_, 0));
}

void Running::accept(const Model& model, TokenChoice choice) {
  const SamplingParams& params = submission_.request.sampling;
  const int32_t token = choice.chosen.id;
  sampler_.accept(token);
  if (guide_) guide_->accept(token);
  result_.ids.push_back(token);
  next_tokens_.assign(1, token);
  TokenEvent event{.answer = answer_, .id = token, .text = {}, .choice = choice};
  if (params.log_probabilities >= 0) result_.choices.push_back(std::move(choice));
  bool stopped = contains(params.stop_ids, token) ||
                 (!params.ignore_eos && contains(vocabulary_.eos_ids, token));
  if (!stopped) event.text = text_of(token, stopped);
  result_.text += event.text;
  report(event);
  const bool is_full = sequence().tokens() - unverified_ >= sequence().max_tokens();
  if (stopped) {
    finish(model, "stop");
  } else if (std::ssize(result_.ids) >= params.max_new_tokens || is_full) {
    finish(model, "length");
  }
}

std::string Running::text_of(int32_t token, bool& stopped) {
  if (!decoder_) return {};
  StopMatcher::Result matched = stops_.push(decoder_->push(token));
  // A special token is no part of the text, but a stop text may be, or hold, its spelling.
  const text::Tokenizer& tokenizer = *vocabulary_.tokenizer;
  if (!matched.stopped && tokenizer.is_special(token)) {
    const StopMatcher::Result hidden = stops_.push_hidden(*tokenizer.token_text(token));
    matched.emit += hidden.emit;
    matched.stopped = hidden.stopped;
  }
  stopped = matched.stopped;
  return std::move(matched.emit);
}

}  // namespace dms::engine
