#include "cli/bench_serving.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <variant>

#include <fmt/format.h>

#include "cli/progress.h"
#include "dms/error.h"

namespace dms::cli {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_between(Clock::time_point a, Clock::time_point b) {
  return std::chrono::duration<double>(b - a).count();
}

/// Listens to requests that are submitted together.
class Listener {
 public:
  Listener(size_t requests, Served& served) : served_(served), last_token_(requests) {}

  void submit(LLM& llm, size_t index, Request request) {
    request.sink = [this, index](const Event& event) { hear(index, event); };
    llm.submit(std::move(request));
  }
  /// All prompts have been computed.
  bool all_begun() const { return begun_ == last_token_.size(); }
  int64_t tokens() const { return tokens_; }
  const std::string& error() const { return error_; }
  double seconds() const { return seconds_between(start_, end_); }

 private:
  void hear(size_t index, const Event& event) {
    if (std::holds_alternative<TokenEvent>(event)) hear_token(index);
    const auto* finished = std::get_if<FinishedEvent>(&event);
    if (finished != nullptr && !finished->result.error.empty()) error_ = finished->result.error;
  }

  void hear_token(size_t index) {
    const Clock::time_point now = Clock::now();
    Clock::time_point& last = last_token_[index];
    const bool is_first = last == Clock::time_point();
    begun_ += is_first ? 1 : 0;
    Samples& waits = is_first ? served_.first_token_s : served_.between_tokens_s;
    waits.values.push_back(seconds_between(is_first ? start_ : last, now));
    last = end_ = now;
    ++tokens_;
  }

  Served& served_;
  Clock::time_point start_ = Clock::now();
  Clock::time_point end_ = start_;
  std::vector<Clock::time_point> last_token_;
  size_t begun_ = 0;
  int64_t tokens_ = 0;
  std::string error_;
};

}  // namespace

void serve_together(LLM& llm,
                    std::span<const std::vector<int32_t>> prompts,
                    const CacheOptions& cache,
                    const SamplingParams& sampling,
                    Served& served) {
  ProgressLine progress(fmt::format("serve {} x {}", prompts.size(), sampling.max_new_tokens));
  progress.show("");
  Listener listener(prompts.size(), served);
  for (size_t i = 0; i < prompts.size(); ++i) {
    listener.submit(
        llm, i, {.prompt = prompts[i], .sampling = sampling, .cache = cache, .sink = {}});
  }
  const int64_t total = std::ssize(prompts) * sampling.max_new_tokens;
  bool had_begun = false;
  while (llm.step()) {
    const int64_t used = llm.stats().kv_used_bytes;
    served.kv_peak_bytes = std::max(served.kv_peak_bytes, used);
    if (!had_begun && listener.all_begun()) {
      had_begun = true;
      served.kv_used_bytes = std::max(served.kv_used_bytes, used);
    }
    progress.update(listener.tokens(), total);
  }
  if (!listener.error().empty()) throw RunError({.what = listener.error()});
  served.tokens += listener.tokens();
  served.seconds += listener.seconds();
}

}  // namespace dms::cli
