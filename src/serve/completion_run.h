#pragma once
// One HTTP request for chat or completions while the engine works on it: hands its prompts in,
// turns what comes back into the answer, and ends the work where nobody waits for it any longer.
// All of it is the I/O thread's.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "dms/llm.h"
#include "serve/exchange.h"
#include "serve/mailbox.h"
#include "serve/metrics.h"
#include "serve/prepared.h"

namespace dms::serve {

class CompletionRun : public std::enable_shared_from_this<CompletionRun> {
 public:
  struct Surroundings {
    LLM& llm;
    Metrics& metrics;
    Post post;                                   // to the I/O thread
    std::function<void(CompletionRun&)> on_end;  // called once, when the last answer has ended
    std::function<ApiError(const Generation&)> error_of;  // what a failed one's client is told
    std::function<void(Document)> keep{};  // what an answer has left, where that was asked for
  };

  CompletionRun(Surroundings around,
                std::shared_ptr<Exchange> exchange,
                Prepared prepared,
                std::chrono::steady_clock::time_point arrival);

  /// Submits the prompts; to be called once. Throws InputError where the engine refuses one.
  void start();
  /// Cancels what is left. The answer then ends early, if somebody is there to read it.
  void cancel();
  /// The engine has failed: what it has not said it never will.
  void fail(const std::string& why);

  int64_t answers() const { return std::ssize(results_); }

 private:
  struct Choice {
    std::optional<std::chrono::steady_clock::time_point> last_token{};
    bool has_ended = false;
    MemoryReport memory{};  // the last one
  };

  void take_mail();
  void take(const Mail& mail);
  void take_token(int64_t choice, const TokenEvent& event, const Mail& mail);
  void take_memory(int64_t choice, const MemoryEvent& event);
  void take_finish(int64_t choice, const FinishedEvent& event, const Mail& mail);
  void pass_on(std::span<const OutJson> chunks);
  void send(const OutJson& chunk);
  void end();
  OutJson whole();
  void answer();
  std::string rest_of_reports();
  void end_stream(const Usage& usage);
  Usage count() const;
  const Generation* failed() const;

  Surroundings around_;
  std::shared_ptr<Exchange> exchange_;
  Prepared prepared_;
  std::chrono::steady_clock::time_point arrival_;
  std::shared_ptr<Mailbox> mailbox_;
  std::vector<RequestId> ids_;
  std::vector<Choice> choices_;
  std::vector<Generation> results_;  // one a choice
  size_t left_;                      // choices that have not ended
  bool has_begun_ = false;           // a pass was computed for it
  bool is_over_ = false;
};

}  // namespace dms::serve
