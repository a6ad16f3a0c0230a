#include "base/parallel.h"

#include <atomic>

#include <pthread.h>

#include "base/thread_pool.h"
#include "base/threads.h"

namespace dms {
namespace {

std::atomic<int> forks = 0;

void count_forks() {
  [[maybe_unused]] static const int registered =
      ::pthread_atfork(nullptr, nullptr, [] { forks.fetch_add(1); });
}

/// The pool of the thread that it lives in. A forked child has its parent's memory and none of its
/// threads: there the pool is left where it is, for joining its workers would never end.
class OwnPool {
 public:
  OwnPool() = default;
  ~OwnPool() {
    if (is_stale()) (void)pool_.release();
    ThreadPool::refuse_this_thread();
  }
  OwnPool(const OwnPool&) = delete;
  OwnPool& operator=(const OwnPool&) = delete;

  ThreadPool& get(int64_t threads) {
    if (is_stale()) (void)pool_.release();
    if (!pool_ || pool_->threads() != threads) {
      pool_.reset();
      pool_ = std::make_unique<ThreadPool>(threads);
      forks_ = forks.load();
    }
    return *pool_;
  }

 private:
  bool is_stale() const { return pool_ && forks_ != forks.load(); }

  std::unique_ptr<ThreadPool> pool_;
  int forks_ = 0;
};

}  // namespace

bool runs_parallel(int64_t count, int64_t grain) {
  return count >= 2 * grain && used_threads() > 1 && ThreadPool::accepts_this_thread();
}

void run_parallel(int64_t count, int64_t grain, LoopBody body) {
  thread_local OwnPool own;
  count_forks();
  own.get(used_threads()).run(count, grain, body);
}

}  // namespace dms
