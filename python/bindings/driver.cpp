#include "driver.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "gil.h"

namespace dms::python {
namespace {

// How long a signal may wait for its handler.
constexpr auto kSignalInterval = std::chrono::milliseconds(50);

/// Asks for signals from time to time: taking Python's lock for each token would cost more than it
/// is worth.
class SignalCheck {
 public:
  void operator()() {
    const auto now = std::chrono::steady_clock::now();
    if (now < next_) return;
    next_ = now + kSignalInterval;
    check_signals();
  }

 private:
  std::chrono::steady_clock::time_point next_ = std::chrono::steady_clock::now();
};

}  // namespace

Driver::Turn::Turn(Driver& driver) : driver_(driver) {
  SignalCheck check;
  std::unique_lock lock(driver.mutex_);
  while (driver.is_busy_) {
    ++driver.calls_waiting_;
    driver.changed_.wait_for(lock, kSignalInterval, [&] { return !driver.is_busy_; });
    --driver.calls_waiting_;
    if (!driver.is_busy_) break;
    lock.unlock();
    check();
    lock.lock();
  }
  driver.is_busy_ = true;
}

void Driver::end_turn() {
  pass_began_ = 0;
  std::vector<Session> ended;
  std::unique_lock lock(mutex_);
  while (!ended_.empty()) {
    std::swap(ended, ended_);
    lock.unlock();
    ended.clear();
    lock.lock();
  }
  is_busy_ = false;
  lock.unlock();
  changed_.notify_all();
}

/// One step, if it is this thread's turn; the mutex is free meanwhile.
bool Driver::try_step(std::unique_lock<std::mutex>& lock) {
  if (is_busy_ || calls_waiting_ > 0) return false;
  is_busy_ = true;
  lock.unlock();
  struct EndOfTurn {
    Driver& driver;
    ~EndOfTurn() { driver.end_turn(); }
  };
  {
    const EndOfTurn end{*this};
    pass_began_ = std::max<int64_t>(std::chrono::steady_clock::now().time_since_epoch().count(), 1);
    llm_.step();
  }
  lock.lock();
  return true;
}

void Driver::run_until(const std::function<bool()>& is_done, bool ignores_signals) {
  SignalCheck check;
  std::unique_lock lock(mutex_);
  while (!is_done()) {
    if (!try_step(lock)) changed_.wait_for(lock, kSignalInterval);
    if (ignores_signals) continue;
    lock.unlock();
    check();
    lock.lock();
  }
}

void Driver::tell_of_event(std::optional<RequestId> id) {
  bool is_elsewhere = false;
  if (id) {
    const std::lock_guard lock(mutex_);
    news_.push_back(*id);
    is_elsewhere = std::this_thread::get_id() != server_;
  }
  changed_.notify_all();
  if (is_elsewhere) llm_.stop_waiting();
}

std::vector<RequestId> Driver::serve() {
  std::unique_lock lock(mutex_);
  server_ = std::this_thread::get_id();
  for (;;) {
    if (serves_no_more_) return {};
    if (!news_.empty()) return std::exchange(news_, {});
    lock.unlock();
    llm_.wait();
    lock.lock();
    if (serves_no_more_ || !news_.empty()) continue;
    if (!try_step(lock)) changed_.wait_for(lock, kSignalInterval);
  }
}

void Driver::stop_serving() {
  {
    const std::lock_guard lock(mutex_);
    serves_no_more_ = true;
  }
  llm_.stop_waiting();
  changed_.notify_all();
}

Driver::~Driver() {
  for (const auto& call : before_end_) call();
}

void Driver::keep(std::shared_ptr<void> part, std::function<void()> before_end) {
  const std::lock_guard lock(mutex_);
  kept_.push_back(std::move(part));
  before_end_.push_back(std::move(before_end));
}

std::chrono::steady_clock::duration Driver::pass_age() const {
  using Clock = std::chrono::steady_clock;
  const int64_t began = pass_began_;
  return began == 0 ? Clock::duration(0) : Clock::now().time_since_epoch() - Clock::duration(began);
}

void Driver::end(Session session) {
  {
    const std::lock_guard lock(mutex_);
    ended_.push_back(std::move(session));
    if (is_busy_) return;
    is_busy_ = true;
  }
  end_turn();
}

}  // namespace dms::python
