#pragma once
// Counters and histograms in Prometheus' text form, under vLLM's names where they mean the same.

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "dms/llm.h"
#include "serve/documents.h"
#include "serve/slots.h"

namespace dms::serve {

/// What others count.
struct ServerCounts {
  EngineStats engine{};
  DocumentStats documents{};
  SlotStats slots{};
  int64_t active = 0;  // requests that have been accepted and not answered
};

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

  /// Everything, brought up to date with what others have counted.
  std::string text(const ServerCounts& counts);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace dms::serve
