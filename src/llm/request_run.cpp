#include "llm/request_run.h"

#include <functional>
#include <utility>
#include <variant>

#include "base/check.h"

namespace dms {

RequestRun::RequestRun(engine::Engine& engine,
                       engine::Submission submission,
                       TextSink on_text,
                       Progress progress)
    : engine_(engine), on_text_(std::move(on_text)), progress_(std::move(progress)) {
  submission.request.sink = [this](const Event& event) { take(event); };
  if (submission.on_logits) {
    submission.on_logits = [this, sink = std::move(submission.on_logits)](
                               int64_t index, std::span<const float> row) {
      guarded([&] { sink(index, row); });
    };
  }
  id_ = engine_.submit(std::move(submission));
}

RequestRun::~RequestRun() {
  if (is_done_) return;
  on_text_ = {};
  progress_ = {};
  engine_.cancel(id_);
  try {
    while (!is_done_) engine_.step();
  } catch (const std::exception&) {
    ensure(is_done_, "a cancelled request ends before anything is computed");
  }
}

/// What a caller's function throws is kept for finish(), and ends the request.
void RequestRun::guarded(const std::function<void()>& call) {
  if (thrown_) return;
  try {
    call();
  } catch (...) {
    thrown_ = std::current_exception();
    engine_.cancel(id_);
  }
}

void RequestRun::show(const std::string& text) {
  if (!on_text_ || is_stopped_ || text.empty()) return;
  guarded([&] { is_stopped_ = !on_text_(text); });
  if (is_stopped_) engine_.cancel(id_);
}

void RequestRun::take(const Event& event) {
  if (const auto* prompt = std::get_if<PromptProgress>(&event)) {
    if (progress_) guarded([&] { progress_(prompt->done, prompt->total); });
  } else if (const auto* token = std::get_if<TokenEvent>(&event)) {
    show(token->text);
  } else if (const auto* finished = std::get_if<FinishedEvent>(&event)) {
    is_done_ = true;
    show(finished->text);
    result_ = finished->result;
    if (is_stopped_) result_.finish_reason = "stop";
  }
}

Generation RequestRun::finish() {
  while (!is_done_) engine_.step();
  if (thrown_) std::rethrow_exception(thrown_);
  return std::move(result_);
}

}  // namespace dms
