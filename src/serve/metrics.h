#pragma once
// Counters and histograms in Prometheus' text form, under vLLM's names where they mean the same.

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "dms/llm.h"

namespace dms::serve {

class Metrics {
 public:
  explicit Metrics(const std::string& model_name);
  ~Metrics();

  using Duration = std::chrono::steady_clock::duration;

  void http_request(std::string_view endpoint, int status);
  void first_token(Duration since_arrival);
  void next_token(Duration since_last);
  void left_queue(Duration since_arrival);
  /// One answer.
  void finished(const Generation& answer, Duration since_arrival);

  /// Everything, brought up to date with what the engine has counted. `active`: requests that have
  /// been accepted and not answered.
  std::string text(const EngineStats& stats, size_t active);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace dms::serve
