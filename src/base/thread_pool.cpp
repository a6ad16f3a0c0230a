#include "base/thread_pool.h"

#include <algorithm>
#include <csignal>
#include <limits>
#include <system_error>
#include <utility>

#include <pthread.h>
#include <sched.h>

#include "base/check.h"
#include "base/threads.h"

namespace dms {
namespace {

using Clock = std::chrono::steady_clock;

/// How long a thread looks for what it waits for before it sleeps: longer than what lies between
/// two regions of a token's pass, short beside a time slice.
constexpr std::chrono::nanoseconds kSpin = std::chrono::microseconds(50);
/// Between two calls to sleeping workers. Who was called looks for kSpin at least; who has not come
/// by then waits for a processor, and calling again only costs.
constexpr std::chrono::nanoseconds kCallPause = std::chrono::microseconds(100);

thread_local bool is_refused = false;

constexpr uint64_t kOpen = uint64_t{1} << 31;
constexpr uint64_t kInside = kOpen - 1;
constexpr uint32_t region_of(uint64_t gate) { return static_cast<uint32_t>(gate >> 32); }

constexpr uint64_t packed(int64_t begin, int64_t end) {
  return static_cast<uint64_t>(begin) << 32 | static_cast<uint64_t>(end);
}
constexpr int64_t begin_of(uint64_t range) { return static_cast<int64_t>(range >> 32); }
constexpr int64_t end_of(uint64_t range) { return static_cast<int64_t>(range & 0xFFFFFFFF); }

inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// Whether `is_true` became so within `time` and before `is_hopeless`.
template <class Condition, class Reason>
bool spin_until(std::chrono::nanoseconds time, Condition is_true, Reason is_hopeless) {
  constexpr int kLooksPerTime = 32;
  const Clock::time_point end = Clock::now() + time;
  do {
    for (int look = 0; look < kLooksPerTime; ++look) {
      if (is_true()) return true;
      relax();
    }
  } while (!is_hopeless() && Clock::now() < end);
  return false;
}

/// Signals go to the program's own threads, but for those that a thread's own fault raises.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    for (const int fault : {SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGTRAP}) sigdelset(&all, fault);
    pthread_sigmask(SIG_SETMASK, &all, &previous_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &previous_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t previous_{};
};

}  // namespace

ThreadPool::ThreadPool(int64_t threads)
    : shares_(static_cast<size_t>(threads)),
      threads_(threads),
      spin_(threads <= available_cores() ? kSpin : kSpin.zero()) {
  ensure(threads > 0, "a pool without threads");
  const SignalsBlocked blocked;
  try {
    for (int64_t thread = 1; thread < threads; ++thread) {
      workers_.emplace_back([this, thread] { worker_main(thread); });
    }
  } catch (const std::system_error&) {
    // The system has no more threads: the others take these shares over.
  }
}

ThreadPool::~ThreadPool() {
  ends_ = true;
  calls_.fetch_add(1);
  futex_wake(calls_, threads_);
  for (std::thread& worker : workers_) worker.join();
}

bool ThreadPool::accepts_this_thread() { return !is_refused; }
void ThreadPool::refuse_this_thread() { is_refused = true; }

void ThreadPool::run(int64_t count, int64_t grain, LoopBody body) {
  ensure(count <= std::numeric_limits<uint32_t>::max(), "more iterations than a share can count");
  body_ = body;
  grain_ = grain;
  failed_.store(false, std::memory_order_relaxed);
  deal(count, grain);
  open();
  is_refused = true;
  while (run_next(0)) {
    if (owes_call_) call();
  }
  is_refused = false;
  close();
  if (failed_.load(std::memory_order_relaxed)) {
    std::rethrow_exception(std::exchange(failure_, nullptr));
  }
}

/// Whole grains, as even as possible; the caller's share is never the smaller.
void ThreadPool::deal(int64_t count, int64_t grain) {
  const int64_t grains = ceil_div(count, grain);
  wanted_ = std::min(grains, threads_) - 1;
  const auto begin = [&](int64_t thread) {
    return std::min(ceil_div(grains * thread, threads_) * grain, count);
  };
  for (int64_t thread = 0; thread < threads_; ++thread) {
    shares_[static_cast<size_t>(thread)].left.store(packed(begin(thread), begin(thread + 1)),
                                                    std::memory_order_relaxed);
  }
}

void ThreadPool::open() {
  const uint64_t region = region_of(gate_.load(std::memory_order_relaxed)) + uint64_t{1};
  caller_cpu_.store(::sched_getcpu(), std::memory_order_relaxed);
  gate_.store(region << 32 | kOpen);
  owes_call_ = sleepers_.load() > 0;
  if (owes_call_) call();
}

/// Wakes the workers that sleep, if the last call is long enough ago.
void ThreadPool::call() {
  const Clock::time_point now = Clock::now();
  if (now - last_call_ < kCallPause) return;
  last_call_ = now;
  owes_call_ = false;
  calls_.fetch_add(1);
  futex_wake(calls_, std::min(wanted_, sleepers_.load()));
}

/// Nobody comes in any more; those inside finish what they claimed.
void ThreadPool::close() {
  gate_.fetch_and(~kOpen);
  const auto is_empty = [&] { return (gate_.load() & kInside) == 0; };
  while (!spin_until(spin_, is_empty, [] { return false; })) {
    const uint32_t departures = departures_.load();
    caller_sleeps_ = true;
    if (!is_empty()) futex_wait(departures_, departures);
    caller_sleeps_ = false;
  }
}

/// Of the thread's own share, or else of another's; false where nothing is left or wanted.
bool ThreadPool::run_next(int64_t thread) {
  if (failed_.load(std::memory_order_relaxed)) return false;
  Range range = claim_first(shares_[static_cast<size_t>(thread)]);
  for (int64_t step = 1; step < threads_ && range.begin == range.end; ++step) {
    range = claim_last(shares_[static_cast<size_t>((thread + step) % threads_)]);
  }
  if (range.begin == range.end) return false;
  run_range(range);
  return true;
}

ThreadPool::Range ThreadPool::claim_first(Share& share) const {
  uint64_t left = share.left.load(std::memory_order_relaxed);
  for (;;) {
    const int64_t begin = begin_of(left);
    const int64_t end = std::min(begin + grain_, end_of(left));
    if (begin >= end) return {};
    if (share.left.compare_exchange_weak(
            left, packed(end, end_of(left)), std::memory_order_relaxed)) {
      return {begin, end};
    }
  }
}

/// From the far end, where the share's owner comes last.
ThreadPool::Range ThreadPool::claim_last(Share& share) const {
  uint64_t left = share.left.load(std::memory_order_relaxed);
  for (;;) {
    const int64_t end = end_of(left);
    const int64_t begin = std::max(end - grain_, begin_of(left));
    if (begin >= end) return {};
    if (share.left.compare_exchange_weak(
            left, packed(begin_of(left), begin), std::memory_order_relaxed)) {
      return {begin, end};
    }
  }
}

void ThreadPool::run_range(Range range) {
  try {
    body_.run(body_.context, range.begin, range.end);
  } catch (...) {
    if (!failed_.exchange(true)) failure_ = std::current_exception();
  }
}

void ThreadPool::worker_main(int64_t thread) {
  refuse_this_thread();
  uint32_t seen = 0;
  while (enter(seen)) {
    while (run_next(thread)) {
    }
    leave();
  }
}

/// Waits for a region that this worker was not in yet; false when the pool ends.
bool ThreadPool::enter(uint32_t& seen) {
  const auto is_over = [&] { return ends_.load() || try_enter(seen); };
  // Where the caller waits for this very processor, it opens nothing while this thread looks.
  const auto is_in_the_way = [&] {
    return ::sched_getcpu() == caller_cpu_.load(std::memory_order_relaxed);
  };
  while (!spin_until(spin_, is_over, is_in_the_way)) {
    const uint32_t calls = calls_.load();
    sleepers_.fetch_add(1);
    const uint64_t gate = gate_.load();
    const bool is_called = (gate & kOpen) != 0 && region_of(gate) != seen;
    if (!is_called && !ends_.load()) futex_wait(calls_, calls);
    sleepers_.fetch_sub(1);
  }
  return !ends_.load();
}

bool ThreadPool::try_enter(uint32_t& seen) {
  uint64_t gate = gate_.load(std::memory_order_relaxed);
  while ((gate & kOpen) != 0 && region_of(gate) != seen) {
    if (gate_.compare_exchange_weak(gate, gate + 1)) {
      seen = region_of(gate);
      return true;
    }
  }
  return false;
}

void ThreadPool::leave() {
  const uint64_t before = gate_.fetch_sub(1);
  if ((before & (kOpen | kInside)) != 1 || !caller_sleeps_.load()) return;
  departures_.fetch_add(1);
  futex_wake(departures_, 1);
}

}  // namespace dms
