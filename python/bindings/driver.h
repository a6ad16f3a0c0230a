#pragma once
// An LLM that any thread may use. libdms computes on one thread at a time: here a thread takes a
// turn. Who waits for an answer steps the engine for everybody while nobody else does, so that
// requests of several threads share each pass and no thread of ours is needed.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "dms/llm.h"

namespace dms::python {

/// All functions are called without Python's lock.
class Driver {
 public:
  explicit Driver(LLM llm) : llm_(std::move(llm)) {}
  ~Driver();
  Driver(const Driver&) = delete;
  Driver& operator=(const Driver&) = delete;

  /// For what any thread may call.
  LLM& llm() { return llm_; }

  /// Guards what sinks of requests write; never held while the engine computes.
  std::mutex& mutex() { return mutex_; }
  /// To be called after such a write, without the mutex; `id`: of a request that serve() tells of.
  void tell_of_event(std::optional<RequestId> id);

  /// Runs `work` while nobody else computes. Throws what a signal's handler raised meanwhile.
  template <class Work>
  auto in_turn(Work&& work) {
    const Turn turn(*this);
    return work();
  }

  /// Steps the engine, or waits for who does, until `is_done()`, which runs under the mutex. Throws
  /// what a signal's handler raised, unless `ignores_signals`.
  void run_until(const std::function<bool()>& is_done, bool ignores_signals = false);

  /// The loop of a thread that serves requests of others: steps while there are any, and returns
  /// the ids of those with new events; none once stop_serving() was called.
  std::vector<RequestId> serve();
  void stop_serving();

  /// Ends a session; later, where somebody computes just now.
  void end(Session session);

  /// Lives until the LLM has ended; `before_end` is called before it does.
  void keep(std::shared_ptr<void> part, std::function<void()> before_end);
  /// How long the step that is computed now has taken; zero where none is.
  std::chrono::steady_clock::duration pass_age() const;

 private:
  /// Calls go before steps, which somebody else may take as well.
  class Turn {
   public:
    explicit Turn(Driver& driver);
    ~Turn() { driver_.end_turn(); }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

   private:
    Driver& driver_;
  };

  bool try_step(std::unique_lock<std::mutex>& lock);
  void end_turn();

  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_busy_ = false;
  int calls_waiting_ = 0;
  std::vector<Session> ended_;
  std::vector<RequestId> news_;
  std::thread::id server_;
  bool serves_no_more_ = false;
  std::atomic<int64_t> pass_began_ = 0;  // of the steady clock; 0: none is computed
  std::vector<std::shared_ptr<void>> kept_;
  std::vector<std::function<void()>> before_end_;
  LLM llm_;  // its end is the first: requests hold sinks that write here
};

}  // namespace dms::python
