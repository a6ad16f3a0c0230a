#include "held_session.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "dms/error.h"
#include "gil.h"

namespace dms::python {
namespace {

/// Gives signals a chance while a prompt is computed.
void watch_signals(int64_t, int64_t) { check_signals(); }

double log_probability(std::span<const float> logits, int32_t token) {
  const double largest = *std::ranges::max_element(logits);
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - largest);
  return static_cast<double>(logits[static_cast<size_t>(token)]) - largest - std::log(sum);
}

/// A comparison with what is no number would pass silently through means and sums.
double finite_log_probability(std::span<const float> logits, int32_t token, int64_t index) {
  const double value = log_probability(logits, token);
  if (std::isfinite(value)) return value;
  throw RunError({.where = "logits after token " + std::to_string(index),
                  .what = "the model's logits are not finite",
                  .expected = "finite numbers"});
}

}  // namespace

int64_t HeldSession::tokens() {
  return driver_->in_turn([&] { return session_.tokens(); });
}

int64_t HeldSession::max_tokens() {
  return driver_->in_turn([&] { return session_.max_tokens(); });
}

std::vector<int32_t> HeldSession::ids() {
  return driver_->in_turn([&] {
    const std::span<const int32_t> ids = session_.ids();
    return std::vector<int32_t>(ids.begin(), ids.end());
  });
}

KvStats HeldSession::kv() {
  return driver_->in_turn([&] { return session_.kv(); });
}

Timings HeldSession::timings() {
  return driver_->in_turn([&] { return session_.timings(); });
}

std::vector<uint8_t> HeldSession::decisions() {
  return driver_->in_turn([&] { return session_.decisions(); });
}

std::unique_ptr<float[]> HeldSession::append(std::span<const int32_t> ids) {
  return driver_->in_turn([&] {
    const std::span<const float> row = session_.append(ids, watch_signals);
    auto logits = std::make_unique_for_overwrite<float[]>(row.size());
    std::ranges::copy(row, logits.get());
    return logits;
  });
}

Scores HeldSession::score(std::span<const int32_t> ids, bool wants_logits) {
  return driver_->in_turn([&] {
    const auto vocab = static_cast<size_t>(info().vocab);
    Scores scores;
    if (wants_logits) scores.logits = std::make_unique_for_overwrite<float[]>(ids.size() * vocab);
    int64_t index = 0;
    const auto take = [&](int64_t, std::span<const float> row) {
      const auto at = static_cast<size_t>(index);
      if (wants_logits) std::ranges::copy(row, scores.logits.get() + at * vocab);
      if (at + 1 < ids.size()) {
        scores.log_probabilities.push_back(finite_log_probability(row, ids[at + 1], index));
      }
      ++index;
    };
    session_.append_scored(ids, take, watch_signals);
    return scores;
  });
}

std::unique_ptr<PendingRequest> HeldSession::submit(Request request, Delivery delivery) {
  return std::make_unique<PendingRequest>(
      driver_, std::move(request), delivery, [&](Request complete) {
        return driver_->in_turn([&] { return session_.submit(std::move(complete)); });
      });
}

std::unique_ptr<HeldSession> HeldSession::fork() {
  return driver_->in_turn([&] { return std::make_unique<HeldSession>(driver_, session_.fork()); });
}

void HeldSession::truncate(int64_t tokens) {
  driver_->in_turn([&] { session_.truncate(tokens, watch_signals); });
}

int64_t HeldSession::reusable_tokens(std::span<const int32_t> ids) {
  return driver_->in_turn([&] { return session_.reusable_tokens(ids); });
}

void HeldSession::save(const std::filesystem::path& file) {
  driver_->in_turn([&] { session_.save(file); });
}

}  // namespace dms::python
