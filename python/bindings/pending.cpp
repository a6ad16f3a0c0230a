#include "pending.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <variant>

namespace dms::python {

PendingRequest::PendingRequest(std::shared_ptr<Driver> driver,
                               Request request,
                               Delivery delivery,
                               const std::function<RequestId(Request)>& submit)
    : driver_(std::move(driver)), state_(std::make_shared<State>()) {
  state_->unfinished = request.answers;
  // The engine knows the request's id before this object does.
  auto id = std::make_shared<std::optional<RequestId>>();
  request.sink = [&driver = *driver_, state = state_, id, delivery](const Event& event) {
    std::optional<RequestId> announced;
    {
      const std::lock_guard lock(driver.mutex());
      take_in(*state, event, delivery);
      if (delivery == Delivery::announce) announced = *id;
    }
    if (!std::holds_alternative<PromptProgress>(event)) driver.tell_of_event(announced);
  };
  id_ = submit(std::move(request));
  const std::lock_guard lock(driver_->mutex());
  *id = id_;
}

PendingRequest::~PendingRequest() {
  if (!is_done()) cancel();
}

Piece& PendingRequest::piece_of(State& state, int64_t answer) {
  const auto same = std::ranges::find(state.pieces, answer, &Piece::answer);
  return same != state.pieces.end() ? *same : state.pieces.emplace_back(Piece{.answer = answer});
}

void PendingRequest::take_in(State& state, const Event& event, Delivery delivery) {
  if (const auto* token = std::get_if<TokenEvent>(&event)) {
    if (delivery == Delivery::whole) return;
    Piece& piece = piece_of(state, token->answer);
    piece.ids.push_back(token->id);
    piece.text += token->text;
    piece.choices.push_back(token->choice);
  } else if (const auto* finished = std::get_if<FinishedEvent>(&event)) {
    --state.unfinished;
    const auto answer = static_cast<size_t>(finished->answer);
    state.results.resize(std::max(state.results.size(), answer + 1));
    state.results[answer] = finished->result;
    if (delivery == Delivery::whole) return;
    Piece& piece = piece_of(state, finished->answer);
    piece.text += finished->text;
    piece.finish_reason = finished->result.finish_reason;
    piece.error = finished->result.error;
  }
}

bool PendingRequest::is_done() {
  const std::lock_guard lock(driver_->mutex());
  return state_->unfinished == 0;
}

std::vector<Generation> PendingRequest::wait() {
  driver_->run_until([&] { return state_->unfinished == 0; });
  const std::lock_guard lock(driver_->mutex());
  return state_->results;
}

std::vector<Piece> PendingRequest::take() {
  const std::lock_guard lock(driver_->mutex());
  return std::exchange(state_->pieces, {});
}

std::vector<Piece> PendingRequest::next() {
  driver_->run_until([&] { return !state_->pieces.empty() || state_->unfinished == 0; });
  return take();
}

void PendingRequest::cancel() { driver_->llm().cancel(id_); }

void PendingRequest::close() {
  if (is_done()) return;
  cancel();
  driver_->run_until([&] { return state_->unfinished == 0; }, true);
}

}  // namespace dms::python
