#pragma once
// The one thread that owns the model: it reads the weights, then computes pass after pass for
// whatever has been submitted.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <thread>

#include "dms/llm.h"
#include "serve/served_engine.h"

namespace dms::serve {

class EngineThread final : public ServedEngine {
 public:
  /// `load` and `on_change` are called on the new thread; the latter after each change of state().
  EngineThread(std::function<LLM()> load, std::function<void()> on_change);
  /// Ends the thread after the pass it is at.
  ~EngineThread() override;
  EngineThread(const EngineThread&) = delete;
  EngineThread& operator=(const EngineThread&) = delete;

  State state() const override { return state_; }
  /// Once it has failed: what load() or a pass threw.
  std::exception_ptr failure() const { return failure_; }
  LLM& llm() override { return *llm_; }
  std::chrono::steady_clock::duration pass_age() const override;

 private:
  void run(const std::function<LLM()>& load, const std::function<void()>& on_change);
  void compute();

  std::optional<LLM> llm_;
  std::exception_ptr failure_;
  std::atomic<State> state_ = State::kLoading;
  std::atomic<bool> is_stopped_ = false;
  std::atomic<int64_t> pass_began_ = 0;  // of the steady clock; 0: none is computed
  std::thread thread_;
};

}  // namespace dms::serve
