#include "base/thread_pool.h"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <limits>
#include <system_error>
#include <utility>

#include <pthread.h>

#include "base/check.h"
#include "base/threads.h"

namespace dms {
namespace {

/// How long a thread looks for what it waits for before it sleeps: longer than what lies between
/// two regions of a token's pass, short beside a time slice.
constexpr int64_t kSpinNs = 50'000;

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

/// Whether `is_true` became so within `ns`.
template <class Condition>
bool spin_until(int64_t ns, Condition is_true) {
  constexpr int kLooksPerTime = 32;
  using Clock = std::chrono::steady_clock;
  const Clock::time_point end = Clock::now() + std::chrono::nanoseconds(ns);
  do {
    for (int look = 0; look < kLooksPerTime; ++look) {
      if (is_true()) return true;
      relax();
    }
  } while (Clock::now() < end);
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
      spin_ns_(threads <= available_cores() ? kSpinNs : 0) {
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
  open(ceil_div(count, grain) - 1);
  is_refused = true;
  work(0);
  is_refused = false;
  close();
  if (failed_.load(std::memory_order_relaxed)) {
    std::rethrow_exception(std::exchange(failure_, nullptr));
  }
}

/// Whole grains, as even as possible; the caller's share is never the smaller.
void ThreadPool::deal(int64_t count, int64_t grain) {
  const int64_t grains = ceil_div(count, grain);
  const auto begin = [&](int64_t thread) {
    return std::min(ceil_div(grains * thread, threads_) * grain, count);
  };
  for (int64_t thread = 0; thread < threads_; ++thread) {
    shares_[static_cast<size_t>(thread)].left.store(packed(begin(thread), begin(thread + 1)),
                                                    std::memory_order_relaxed);
  }
}

void ThreadPool::open(int64_t wanted) {
  const uint64_t region = region_of(gate_.load(std::memory_order_relaxed)) + uint64_t{1};
  gate_.store(region << 32 | kOpen);
  calls_.fetch_add(1);
  const int64_t asleep = sleepers_.load();
  if (asleep > 0) futex_wake(calls_, std::min(asleep, wanted));
}

/// Nobody comes in any more; those inside finish what they claimed.
void ThreadPool::close() {
  gate_.fetch_and(~kOpen);
  const auto is_empty = [&] { return (gate_.load() & kInside) == 0; };
  while (!spin_until(spin_ns_, is_empty)) {
    const uint32_t departures = departures_.load();
    caller_sleeps_ = true;
    if (!is_empty()) futex_wait(departures_, departures);
    caller_sleeps_ = false;
  }
}

void ThreadPool::work(int64_t thread) {
  Share& own = shares_[static_cast<size_t>(thread)];
  while (run_claim(claim_first(own))) {
  }
  for (int64_t step = 1; step < threads_; ++step) {
    Share& other = shares_[static_cast<size_t>((thread + step) % threads_)];
    while (run_claim(claim_last(other))) {
    }
  }
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

/// False where there was nothing to run, or nothing more is wanted.
bool ThreadPool::run_claim(Range range) {
  if (range.begin == range.end || failed_.load(std::memory_order_relaxed)) return false;
  try {
    body_.run(body_.context, range.begin, range.end);
    return true;
  } catch (...) {
    if (!failed_.exchange(true)) failure_ = std::current_exception();
    return false;
  }
}

void ThreadPool::worker_main(int64_t thread) {
  refuse_this_thread();
  uint32_t seen = 0;
  while (enter(seen)) {
    work(thread);
    leave();
  }
}

/// Waits for a region that this worker was not in yet; false when the pool ends.
bool ThreadPool::enter(uint32_t& seen) {
  const auto is_over = [&] { return ends_.load() || try_enter(seen); };
  while (!spin_until(spin_ns_, is_over)) {
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
