#pragma once
// How many threads parallel_for (base/parallel.h) shares work among.

#include <cstdint>

namespace dms {

/// Processors that this process may keep busy, at least 1: those of its affinity mask, and no more
/// than its cgroups' CPU quota allows (1.5 CPUs: 2).
int64_t available_cores();

/// Sets how many threads regions started by the calling thread use, itself among them; 0: one per
/// available core, which is also where a thread begins.
void use_threads(int64_t threads);

/// What the calling thread's use_threads() came to.
int64_t used_threads();

/// use_threads() for a scope.
class ScopedThreads {
 public:
  explicit ScopedThreads(int64_t threads) : previous_(used_threads()) { use_threads(threads); }
  ~ScopedThreads() { use_threads(previous_); }
  ScopedThreads(const ScopedThreads&) = delete;
  ScopedThreads& operator=(const ScopedThreads&) = delete;

 private:
  int64_t previous_;
};

}  // namespace dms
