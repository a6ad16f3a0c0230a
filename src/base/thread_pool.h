#pragma once
// The workers of one thread that starts parallel loops, and how they meet it. base/parallel.h is
// the way to use them.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <thread>
#include <vector>

#include "base/futex.h"
#include "base/parallel.h"

namespace dms {

/// run() is for one thread at a time, always the same.
class ThreadPool {
 public:
  /// `threads` counts the caller of run(). Makes fewer where the system refuses more.
  explicit ThreadPool(int64_t threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int64_t threads() const { return threads_; }

  /// Whether this thread may call run(): not while it is inside a loop, nor once refused.
  static bool accepts_this_thread();
  static void refuse_this_thread();

  /// Runs the loop; the caller works with those workers that are awake in time. Throws what the
  /// first failing iteration threw.
  void run(int64_t count, int64_t grain, LoopBody body);

 private:
  /// Iterations that nobody claimed yet, first and end in one word. Each thread begins with a share
  /// of its own, the same each time, so that what it worked on is still in its caches.
  struct alignas(64) Share {
    std::atomic<uint64_t> left = 0;
  };
  struct Range {
    int64_t begin = 0;
    int64_t end = 0;
  };

  void deal(int64_t count, int64_t grain);
  void open();
  void call();
  void close();
  bool run_next(int64_t thread);
  Range claim_first(Share& share) const;
  Range claim_last(Share& share) const;
  void run_range(Range range);

  void worker_main(int64_t thread);
  bool enter(uint32_t& seen);
  bool try_enter(uint32_t& seen);
  void leave();

  // The loop: written while no worker is inside.
  LoopBody body_;
  int64_t grain_ = 1;
  std::vector<Share> shares_;
  std::exception_ptr failure_;
  std::atomic<bool> failed_ = false;

  // Who is inside: the number of the region in the upper half, whether workers may still come in,
  // and how many are in.
  alignas(64) std::atomic<uint64_t> gate_ = 0;
  std::atomic<int> caller_cpu_ = -1;
  std::atomic<bool> ends_ = false;
  FutexWord calls_ = 0;  // changes with every call: workers sleep on it
  std::atomic<int64_t> sleepers_ = 0;
  FutexWord departures_ = 0;  // changes when the last worker leaves: the caller sleeps on it
  std::atomic<bool> caller_sleeps_ = false;

  int64_t threads_;
  std::chrono::nanoseconds spin_;

  // The caller's alone.
  int64_t wanted_ = 0;  // workers that could find something to do
  bool owes_call_ = false;
  std::chrono::steady_clock::time_point last_call_;

  std::vector<std::thread> workers_;
};

}  // namespace dms
