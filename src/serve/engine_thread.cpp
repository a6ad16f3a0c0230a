#include "serve/engine_thread.h"

#include <algorithm>
#include <utility>

namespace dms::serve {
namespace {

int64_t now() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

}  // namespace

EngineThread::EngineThread(std::function<LLM()> load, std::function<void()> on_change)
    : thread_([this, load = std::move(load), on_change = std::move(on_change)] {
        run(load, on_change);
      }) {}

EngineThread::~EngineThread() {
  is_stopped_ = true;
  // While it loads there is nothing that could wait; it will see the flag.
  if (state_ == State::kReady) llm_->stop_waiting();
  thread_.join();
}

void EngineThread::run(const std::function<LLM()>& load, const std::function<void()>& on_change) {
  try {
    llm_.emplace(load());
    state_ = State::kReady;
    on_change();
    compute();
  } catch (...) {
    failure_ = std::current_exception();
    state_ = State::kFailed;
    on_change();
  }
}

void EngineThread::compute() {
  while (!is_stopped_) {
    llm_->wait();
    bool has_work = true;
    while (has_work && !is_stopped_) {
      pass_began_ = std::max<int64_t>(now(), 1);
      has_work = llm_->step();
    }
    pass_began_ = 0;
  }
}

std::chrono::steady_clock::duration EngineThread::pass_age() const {
  const int64_t began = pass_began_;
  return std::chrono::steady_clock::duration(began == 0 ? 0 : now() - began);
}

}  // namespace dms::serve
