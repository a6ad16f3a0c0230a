#include "serve/completion_run.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "serve/responses.h"

namespace dms::serve {

CompletionRun::CompletionRun(Surroundings around,
                             std::shared_ptr<Exchange> exchange,
                             Prepared prepared,
                             std::chrono::steady_clock::time_point arrival)
    : around_(std::move(around)),
      exchange_(std::move(exchange)),
      prepared_(std::move(prepared)),
      arrival_(arrival),
      choices_(prepared_.requests.size() * static_cast<size_t>(prepared_.answers)),
      results_(choices_.size()),
      left_(choices_.size()) {}

void CompletionRun::start() {
  const std::weak_ptr<CompletionRun> weak = weak_from_this();
  mailbox_ = std::make_shared<Mailbox>(around_.post, [weak] {
    if (const auto self = weak.lock()) self->take_mail();
  });
  try {
    for (size_t i = 0; i < prepared_.requests.size(); ++i) {
      Request& request = prepared_.requests[i];
      request.sink = mailbox_->sink(i);
      ids_.push_back(around_.llm.submit(std::move(request)));
    }
  } catch (...) {
    mailbox_->close();
    cancel();
    throw;
  }
  exchange_->on_closed([weak] {
    if (const auto self = weak.lock()) self->cancel();
  });
  if (!prepared_.stream) return;
  exchange_->begin_stream();
  for (int64_t choice = 0; choice < std::ssize(choices_); ++choice) {
    if (const auto chunk = prepared_.form->begin(choice)) send(*chunk);
  }
}

void CompletionRun::cancel() {
  for (const RequestId id : ids_) around_.llm.cancel(id);
}

void CompletionRun::fail(const std::string& why) {
  if (is_over_) return;
  for (size_t i = 0; i < choices_.size(); ++i) {
    if (choices_[i].has_ended) continue;
    results_[i].finish_reason = "error";
    results_[i].error = why;
  }
  end();
}

void CompletionRun::take_mail() {
  const auto self = shared_from_this();  // the end lets go of this
  for (const Mail& mail : mailbox_->take()) {
    if (is_over_) return;
    take(mail);
  }
}

void CompletionRun::take(const Mail& mail) {
  if (!has_begun_ && !std::holds_alternative<FinishedEvent>(mail.event)) {
    has_begun_ = true;
    around_.metrics.left_queue(mail.at - arrival_);
  }
  const auto first = static_cast<int64_t>(mail.prompt) * prepared_.answers;
  if (const auto* token = std::get_if<TokenEvent>(&mail.event)) {
    take_token(first + token->answer, *token, mail);
  } else if (const auto* memory = std::get_if<MemoryEvent>(&mail.event)) {
    take_memory(first + memory->answer, *memory);
  } else if (const auto* finished = std::get_if<FinishedEvent>(&mail.event)) {
    take_finish(first + finished->answer, *finished, mail);
  }
}

void CompletionRun::take_token(int64_t index, const TokenEvent& event, const Mail& mail) {
  Choice& choice = choices_[static_cast<size_t>(index)];
  if (choice.last_token) {
    around_.metrics.next_token(mail.at - *choice.last_token);
  } else {
    around_.metrics.first_token(mail.at - arrival_);
  }
  choice.last_token = mail.at;
  pass_on(prepared_.form->token(index, event));
}

void CompletionRun::take_memory(int64_t index, const MemoryEvent& event) {
  choices_[static_cast<size_t>(index)].memory = event.report;
  if (!prepared_.stream) return;
  send(prepared_.form->memory(index, prepared_.reports->next(index, event.report)));
}

void CompletionRun::take_finish(int64_t index, const FinishedEvent& event, const Mail& mail) {
  Choice& choice = choices_[static_cast<size_t>(index)];
  if (choice.has_ended) return;
  choice.has_ended = true;
  around_.metrics.finished(event.result, mail.at - arrival_);
  const std::vector<OutJson> chunks = prepared_.form->finish(index, event);
  if (event.result.finish_reason != "error") pass_on(chunks);
  Generation& result = results_[static_cast<size_t>(index)];
  result = event.result;
  if (result.document && around_.keep) around_.keep(*std::exchange(result.document, {}));
  if (--left_ == 0) end();
}

void CompletionRun::pass_on(std::span<const OutJson> chunks) {
  for (const OutJson& chunk : chunks) {
    prepared_.stream ? send(chunk) : prepared_.writer->gather(chunk);
  }
}

/// A client that does not read costs the engine nothing more.
void CompletionRun::send(const OutJson& chunk) {
  if (exchange_->is_closed()) return;
  const std::string events = prepared_.writer->chunk(chunk);
  if (!events.empty() && !exchange_->write(events)) cancel();
}

Usage CompletionRun::count() const {
  Usage usage{.notes = prepared_.notes};
  for (size_t i = 0; i < results_.size(); ++i) {
    usage.add(results_[i], i % static_cast<size_t>(prepared_.answers) == 0);
  }
  return usage;
}

const Generation* CompletionRun::failed() const {
  const auto found = std::ranges::find(results_, "error", &Generation::finish_reason);
  return found == results_.end() ? nullptr : &*found;
}

void CompletionRun::end() {
  is_over_ = true;
  mailbox_->close();
  exchange_->on_closed({});
  const Usage usage = count();
  exchange_->count_tokens(usage.prompt_tokens, usage.completion_tokens);
  if (!exchange_->is_closed()) prepared_.stream ? end_stream(usage) : answer();
  around_.on_end(*this);
}

OutJson CompletionRun::whole() {
  OutJson body = prepared_.form->whole(results_, count());
  for (size_t i = 0; prepared_.reports && i < choices_.size(); ++i) {
    body["choices"][i]["dms"] =
        prepared_.reports->next(static_cast<int64_t>(i), choices_[i].memory);
  }
  return prepared_.writer->whole(std::move(body));
}

void CompletionRun::answer() {
  const bool was_stopped = std::ranges::all_of(
      results_, [](const Generation& result) { return result.finish_reason == "cancelled"; });
  if (const Generation* bad = failed()) return respond(*exchange_, around_.error_of(*bad));
  if (was_stopped) return respond(*exchange_, ApiError(503, "the server is shutting down"));
  exchange_->respond(json_response(whole()));
}

/// What the reports had no room for, as events.
std::string CompletionRun::rest_of_reports() {
  std::string events;
  for (int64_t i = 0; prepared_.reports && i < std::ssize(choices_); ++i) {
    for (const OutJson& report :
         prepared_.reports->rest(i, choices_[static_cast<size_t>(i)].memory)) {
      events += prepared_.writer->chunk(prepared_.form->memory(i, report));
    }
  }
  return events;
}

void CompletionRun::end_stream(const Usage& usage) {
  AnswerWriter& writer = *prepared_.writer;
  if (const Generation* bad = failed()) {
    return exchange_->end_stream(writer.failure(around_.error_of(*bad)));
  }
  std::string last = rest_of_reports();
  if (prepared_.include_usage) last += writer.chunk(prepared_.form->usage_chunk(usage));
  exchange_->end_stream(last += writer.done());
}

}  // namespace dms::serve
