#include "engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <string>

#include <fmt/format.h>

#include "base/check.h"
#include "dms/error.h"
#include "engine/sampling_check.h"

namespace dms::engine {
namespace {

float& logit_of(std::span<float> logits, int32_t token) {
  ensure(token >= 0 && static_cast<size_t>(token) < logits.size(), "token outside the vocabulary");
  return logits[static_cast<size_t>(token)];
}

/// Lowest index of the largest value.
int32_t best_token(std::span<const float> logits) {
  size_t best = 0;
  bool nan = false;
  for (size_t i = 0; i < logits.size(); ++i) {
    nan |= std::isnan(logits[i]);
    if (logits[i] > logits[best]) best = i;
  }
  if (nan) throw RunError({.where = "sampler", .what = "the model's logits contain NaN"});
  if (!std::isfinite(logits[best])) {
    throw RunError({.where = "sampler",
                    .what = "no token can be chosen",
                    .got = fmt::format("{} as the largest logit", logits[best]),
                    .expected = "a finite number"});
  }
  return static_cast<int32_t>(best);
}

/// The k-th largest value, 1 <= k <= values.size(). A heap of k is one cheap pass for the small k
/// of practice; selection serves the others.
float kth_largest(std::span<const float> values, size_t k) {
  constexpr size_t kHeapLimit = 512;
  std::vector<float> top(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(k));
  if (k > kHeapLimit) {
    top.assign(values.begin(), values.end());
    const auto nth = top.begin() + static_cast<std::ptrdiff_t>(k - 1);
    std::nth_element(top.begin(), nth, top.end(), std::greater<>());
    return *nth;
  }
  std::make_heap(top.begin(), top.end(), std::greater<>());
  for (const float value : values.subspan(k)) {
    if (value <= top.front()) continue;
    std::pop_heap(top.begin(), top.end(), std::greater<>());
    top.back() = value;
    std::push_heap(top.begin(), top.end(), std::greater<>());
  }
  return top.front();
}

}  // namespace

Sampler::Sampler(const SamplingParams& params) : params_(params), random_(params.seed) {
  check(params);
}

void Sampler::see_prompt(std::span<const int32_t> tokens) {
  seen_.insert(tokens.begin(), tokens.end());
}

void Sampler::accept(int32_t token) {
  seen_.insert(token);
  ++generated_[token];
}

int32_t Sampler::sample(std::span<float> logits) {
  ensure(!logits.empty(), "no logits to sample from");
  apply_bias(logits);
  apply_penalties(logits);
  const int32_t best = best_token(logits);
  if (params_.temperature == 0) return best;
  collect(logits, logits[static_cast<size_t>(best)]);
  if (params_.top_p < 1) keep_top_p();
  if (params_.min_p > 0) keep_min_p();
  return draw();
}

void Sampler::apply_bias(std::span<float> logits) const {
  for (const auto& [token, bias] : params_.logit_bias) {
    logit_of(logits, token) += static_cast<float>(bias);
  }
}

void Sampler::apply_penalties(std::span<float> logits) const {
  const auto at = [&](int32_t token) -> float& { return logit_of(logits, token); };
  if (params_.repetition_penalty != 1) {
    const auto penalty = static_cast<float>(params_.repetition_penalty);
    for (const int32_t token : seen_) {
      float& logit = at(token);
      logit = logit > 0 ? logit / penalty : logit * penalty;
    }
  }
  if (params_.presence_penalty == 0 && params_.frequency_penalty == 0) return;
  for (const auto& [token, count] : generated_) {
    at(token) -= static_cast<float>(params_.presence_penalty +
                                    params_.frequency_penalty * static_cast<double>(count));
  }
}

/// Applies temperature and top-k. As in transformers, tokens that tie with the k-th stay.
void Sampler::collect(std::span<const float> logits, float best) {
  const size_t k = params_.top_k == 0 ? logits.size()
                                      : std::min(static_cast<size_t>(params_.top_k), logits.size());
  const float threshold =
      k < logits.size() ? kth_largest(logits, k) : -std::numeric_limits<float>::infinity();
  // exp(-60) times any vocabulary is far below the resolution of the draw (2^-53).
  constexpr double kNegligible = -60;
  candidates_.clear();
  for (size_t i = 0; i < logits.size(); ++i) {
    if (!(logits[i] >= threshold)) continue;
    const double distance = (double{logits[i]} - double{best}) / params_.temperature;
    if (!(distance > kNegligible)) continue;
    const auto scaled = static_cast<float>(distance);
    candidates_.push_back({scaled, static_cast<int32_t>(i), double{std::exp(scaled)}});
  }
}

/// Keeps the smallest set of the most likely tokens with probability >= top_p, at least one. Only
/// as many are sorted as the set turns out to need.
void Sampler::keep_top_p() {
  const double total = std::accumulate(
      candidates_.begin(), candidates_.end(), 0.0, [](double sum, const Candidate& c) {
        return sum + c.weight;
      });
  const auto likelier = [](const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
  };
  double kept = 0;
  size_t sorted = 0;
  for (size_t block = 64; sorted < candidates_.size(); block *= 8) {
    const size_t end = std::min(sorted + block, candidates_.size());
    std::partial_sort(candidates_.begin() + static_cast<std::ptrdiff_t>(sorted),
                      candidates_.begin() + static_cast<std::ptrdiff_t>(end),
                      candidates_.end(),
                      likelier);
    for (; sorted < end; ++sorted) {
      kept += candidates_[sorted].weight;
      if (kept >= params_.top_p * total) {
        candidates_.resize(sorted + 1);
        return;
      }
    }
  }
}

void Sampler::keep_min_p() {
  // The best token's weight is exp(0) = 1, so weights are probabilities relative to it.
  std::erase_if(candidates_, [&](const Candidate& c) { return c.weight < params_.min_p; });
}

int32_t Sampler::draw() {
  double total = 0;
  for (const Candidate& candidate : candidates_) total += candidate.weight;
  // 53 random bits as a fraction: std::uniform_real_distribution differs between libraries.
  const double target = static_cast<double>(random_() >> 11) * 0x1p-53 * total;
  double sum = 0;
  for (const Candidate& candidate : candidates_) {
    sum += candidate.weight;
    if (target < sum) return candidate.token;
  }
  return candidates_.back().token;
}

}  // namespace dms::engine
