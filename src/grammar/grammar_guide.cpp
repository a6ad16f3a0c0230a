#include "grammar/grammar_guide.h"

#include <algorithm>
#include <limits>
#include <string>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "dms/error.h"
#include "dms/slow_form.h"
#include "grammar/compiled_structure.h"
#include "grammar/thread_time.h"
#include "text/tokenizer.h"

namespace dms::grammar {
namespace {

bool is_in(const Mask& mask, int32_t token) {
  const auto word = static_cast<size_t>(token) / 32;
  return word < mask.words.size() &&
         (static_cast<uint32_t>(mask.words[word]) >> (static_cast<uint32_t>(token) % 32) & 1U) != 0;
}

bool is_blank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

Mask mask_of(xgrammar::GrammarMatcher& matcher, int64_t vocab) {
  Mask mask{.words = std::vector<int32_t>(static_cast<size_t>(Mask::word_count(vocab))),
            .may_end = matcher.IsCompleted()};
  int64_t shape = std::ssize(mask.words);
  DLTensor tensor{.data = mask.words.data(),
                  .device = {.device_type = kDLCPU, .device_id = 0},
                  .ndim = 1,
                  .dtype = xgrammar::GetBitmaskDLType(),
                  .shape = &shape,
                  .strides = nullptr,
                  .byte_offset = 0};
  matcher.FillNextTokenBitmask(&tensor);
  return mask;
}

}  // namespace

bool has_answers(const CompiledStructure& form) {
  xgrammar::GrammarMatcher matcher(form.grammar());
  const Mask mask = mask_of(matcher, form.grammar().GetTokenizerInfo().GetVocabSize());
  return mask.may_end || std::ranges::any_of(mask.words, [](int32_t word) { return word != 0; });
}

GrammarGuide::GrammarGuide(const Structure& structure,
                           std::vector<int32_t> ends,
                           const text::Tokenizer& tokenizer,
                           MaskWorker& worker,
                           const MaskBudget& budget)
    : compiled_(structure.compiled),
      ends_(std::move(ends)),
      tokenizer_(tokenizer),
      worker_(worker),
      begins_after_(structure.begins_after),
      matcher_(compiled_->grammar()),
      budget_(budget) {}

GrammarGuide::~GrammarGuide() {
  if (task_) worker_.drop(*task_);
}

void GrammarGuide::look_ahead(std::span<const int32_t> guesses) {
  if (!has_begun()) return;
  settle();
  const auto expected = std::span(guesses_).subspan(std::min(passed_, guesses_.size()));
  if (knows_next() && std::ranges::equal(expected, guesses)) return;
  guesses_.assign(guesses.begin(), guesses.end());
  passed_ = 0;
  masks_.clear();
  task_ = worker_.post([this] { compute(); });
}

/// Whatever the task was to find out is known.
void GrammarGuide::settle() {
  if (const auto task = std::exchange(task_, nullptr)) worker_.finish(*task);
}

bool GrammarGuide::exclude(std::span<float> logits) {
  if (!has_begun()) {
    constexpr float kExcluded = -std::numeric_limits<float>::infinity();
    for (const int32_t id : ends_) logits[static_cast<size_t>(id)] = kExcluded;
    return true;
  }
  settle();
  if (!knows_next()) {
    guesses_.clear();
    passed_ = 0;
    compute();
  }
  const Mask& mask = masks_[passed_];
  if (mask.apply(ends_, logits)) return true;
  if (mask.may_end) return false;
  throw RunError({.where = "structured answer", .what = "no token leads on to what was asked for"});
}

void GrammarGuide::accept(int32_t token) {
  if (!has_begun()) {
    watch_for_beginning(token);
    return;
  }
  if (std::ranges::find(ends_, token) != ends_.end()) return;
  unread_.push_back(token);
  const bool was_guessed = passed_ < guesses_.size() && guesses_[passed_] == token;
  if (was_guessed && passed_ + 1 < masks_.size()) {
    ++passed_;
  } else {
    masks_.clear();
    guesses_.clear();
    passed_ = 0;
  }
}

void GrammarGuide::compute() {
  masks_.clear();
  double since = thread_seconds();
  for (const int32_t token : std::exchange(unread_, {})) {
    ensure(matcher_.AcceptToken(token), "a token of the mask leads on");
  }
  masks_.push_back(next_mask(since));
  int tried = 0;
  for (const int32_t guess : guesses_) {
    if (!is_in(masks_.back(), guess) || !matcher_.AcceptToken(guess)) break;
    ++tried;
    masks_.push_back(next_mask(since));
  }
  matcher_.Rollback(tried);
}

/// `since`: when this thread began with it; now. One mask cannot be broken off, but the next one
/// need not be begun: others wait for their logits meanwhile.
Mask GrammarGuide::next_mask(double& since) {
  Mask mask = mask_of(matcher_, compiled_->grammar().GetTokenizerInfo().GetVocabSize());
  const double now = thread_seconds();
  budget_.seconds += budget_.seconds_each - (now - since);
  since = now;
  if (budget_.seconds >= 0) return mask;
  throw RunError({.what = std::string(kSlowForm),
                  .hint = "a simpler form has fewer ways to read the same text"});
}

/// What follows the beginning in the same token is the answer's already, but for blanks.
void GrammarGuide::watch_for_beginning(int32_t token) {
  seen_ += tokenizer_.token_bytes(token);
  const size_t found = seen_.find(begins_after_);
  if (found == std::string::npos) {
    const size_t kept = std::min(seen_.size(), begins_after_.size() - 1);
    seen_.erase(0, seen_.size() - kept);
    return;
  }
  const std::string rest = seen_.substr(found + begins_after_.size());
  begins_after_.clear();
  if (is_blank(rest) || matcher_.AcceptString(rest)) return;
  throw RunError({.where = "structured answer",
                  .what = "begins with what was not asked for",
                  .got = rest.substr(0, 40)});
}

}  // namespace dms::grammar
