// Of a Running: what it tells of its memory on the way and at the end, and how it ends.

#include <algorithm>
#include <array>
#include <exception>
#include <stdexcept>
#include <utility>

#include "base/check.h"
#include "base/memory_shortage.h"
#include "engine/running.h"

namespace dms::engine {

std::optional<MemoryEvent> Running::memory_event(const Model& model) const {
  if (request().report_tokens == 0 || !request().sink || !is_active()) return std::nullopt;
  const SequenceState& state = sequence().state();
  const std::array<const SequenceState*, 1> states{&state};
  const std::span<const int32_t> ids = sequence().ids();
  const int64_t held = std::min(state.tokens(), std::ssize(ids));  // a preempted one's: none
  return MemoryEvent{.answer = answer_,
                     .report = {.ids = {ids.begin(), ids.begin() + held},
                                .held_heads = state.held_heads(),
                                .held_bytes = state.held_bytes(),
                                .kv = model.usage(states)}};
}

void Running::report_memory(const Model& model) {
  reported_ids_ = std::ssize(result_.ids);
  if (auto event = memory_event(model)) report(std::move(*event));
}

/// Whatever fails before the end, the end is still to be told.
void Running::note_failure(const std::function<void()>& call) {
  try {
    call();
  } catch (const std::exception& error) {
    result_.finish_reason = "error";
    if (result_.error.empty()) result_.error = error.what();
  }
}

/// Of each answer that it stands for.
void Running::report_last_memory(const Model& model) {
  auto event = memory_event(model);
  for (int64_t i = 0; event && i < answers_; ++i, ++event->answer) report(*event);
}

void Running::finish(const Model& model, const char* reason) {
  if (is_done_) return;
  is_done_ = true;
  FinishedEvent event{.answer = answer_, .text = {}, .result = {}};
  if (decoder_) {
    event.text = stops_.push(decoder_->finish()).emit;
    event.text += stops_.finish();
  }
  result_.text += event.text;
  result_.finish_reason = reason;
  if (is_active()) {
    note_failure([&] { take_back_guesses(); });
    note_failure([&] { report_last_memory(model); });
    keep_document();
    note_failure([&] {
      const std::array<const SequenceState*, 1> states{&sequence().state()};
      result_.kv = model.usage(states);
    });
    sequence().is_busy = false;
    // Of an error the memory is wanted at once.
    const bool is_whole = sequence().missing().empty() && result_.error.empty();
    if (is_owned() && is_whole) finished_sequence_ = submission_.sequence;
    submission_.sequence.reset();
  }
  swapped_.reset();
  event.result = result_;
  for (int64_t i = 0; i < answers_; ++i, ++event.answer) report(event);
}

/// In the midst of a prompt some policies remember what no file holds. Whatever fails here, the end
/// is still to be told.
void Running::keep_document() {
  const bool is_whole = sequence().missing().empty() && result_.error.empty();
  if (!submission_.keep || answer_ != 0 || is_in_prompt() || !is_whole) return;
  try {
    std::shared_ptr<Sequence> document = sequence().fork();
    if (document->missing().empty()) result_.document = submission_.keep(std::move(document));
  } catch (const std::exception&) {
    // It is then as if nobody had asked, as where there is no memory for it.
  }
}

void Running::end(const Model& model, const char* reason) {
  try {
    finish(model, reason);
  } catch (const std::exception&) {
    // Its sink failed at the last event: there is nobody left to tell.
    ensure(is_done_, "a request ends once");
  }
}

void Running::fail(const Model& model, const std::exception& why) {
  if (is_done_) return;
  result_.error = why.what();
  result_.is_short_of_memory = dynamic_cast<const MemoryShortage*>(&why) != nullptr;
  end(model, "error");
}

void Running::fail(const Model& model, const std::exception_ptr& why) {
  try {
    std::rethrow_exception(why);
  } catch (const std::exception& error) {
    fail(model, error);
  } catch (...) {  // a caller's function may throw anything
    fail(model, std::runtime_error("an exception of an unknown kind"));
  }
}

void Running::fail_pass(const Model& model, const std::exception_ptr& why) {
  try {
    sequence().release();
  } catch (const std::exception&) {
    // Why the pass failed is told.
  }
  fail(model, why);
}

}  // namespace dms::engine
