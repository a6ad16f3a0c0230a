#include "engine/sampling_check.h"

#include <cmath>

#include <fmt/format.h>

#include "dms/error.h"
#include "engine/stop_matcher.h"

namespace dms::engine {
namespace {

// Each token of an answer is compared with all of them.
constexpr size_t kMaxStopIds = 64;
constexpr int64_t kMaxAnswers = 1024;

template <class T>
void require(bool valid, const char* field, T got, const std::string& expected) {
  if (valid) return;
  throw InputError({.field = field,
                    .what = "value out of range",
                    .got = fmt::format("{}", got),
                    .expected = expected});
}

void check_stops(const SamplingParams& params) {
  const StopMatcher refuses_what_it_cannot_hold(params.stop);
  require(params.stop_ids.size() <= kMaxStopIds,
          "stop_ids",
          params.stop_ids.size(),
          fmt::format("at most {}", kMaxStopIds));
  for (const int32_t id : params.stop_ids) require(id >= 0, "stop_ids", id, "at least 0");
}

void check_bias(const SamplingParams& params) {
  for (const auto& [token, bias] : params.logit_bias) {
    require(token >= 0, "logit_bias", token, "token ids, at least 0");
    require(bias >= -100 && bias <= 100, "logit_bias", bias, "-100 to 100");
  }
}

}  // namespace

void check(const SamplingParams& params) {
  const auto is_share = [](double value) { return value >= 0 && value <= 1; };
  require(params.max_new_tokens >= 0, "max_new_tokens", params.max_new_tokens, "at least 0");
  require(std::isfinite(params.temperature) && params.temperature >= 0,
          "temperature",
          params.temperature,
          "a number, at least 0");
  require(params.top_k >= 0, "top_k", params.top_k, "at least 0");
  require(is_share(params.top_p), "top_p", params.top_p, "0 to 1");
  require(is_share(params.min_p), "min_p", params.min_p, "0 to 1");
  require(std::isfinite(params.repetition_penalty) && params.repetition_penalty > 0,
          "repetition_penalty",
          params.repetition_penalty,
          "a number, more than 0");
  require(std::isfinite(params.presence_penalty),
          "presence_penalty",
          params.presence_penalty,
          "a finite number");
  require(std::isfinite(params.frequency_penalty),
          "frequency_penalty",
          params.frequency_penalty,
          "a finite number");
  require(params.speculate >= 0 && params.speculate <= kMostSpeculated,
          "speculate",
          params.speculate,
          fmt::format("0 to {}", kMostSpeculated));
  check_bias(params);
  check_stops(params);
}

void check(const Request& request, int64_t vocab) {
  require(request.answers >= 1 && request.answers <= kMaxAnswers,
          "answers",
          request.answers,
          fmt::format("1 to {}", kMaxAnswers));
  for (const auto& [token, bias] : request.sampling.logit_bias) {
    require(token < vocab, "logit_bias", token, fmt::format("token ids below {}", vocab));
  }
}

}  // namespace dms::engine
