#include "base/threads.h"

#include <algorithm>
#include <cerrno>
#include <memory>

#include <sched.h>

#include "base/cpu_quota.h"

namespace dms {
namespace {

thread_local int64_t threads_of_this_thread = 0;  // 0: not set yet

/// The mask's size is the kernel's: it refuses one that is too small for the machine.
int64_t cores_of_affinity() {
  constexpr int kMostCpus = 1 << 20;
  for (int cpus = CPU_SETSIZE; cpus <= kMostCpus; cpus *= 2) {
    const std::unique_ptr<cpu_set_t, void (*)(cpu_set_t*)> set(
        CPU_ALLOC(static_cast<size_t>(cpus)), [](cpu_set_t* mask) { CPU_FREE(mask); });
    const size_t bytes = CPU_ALLOC_SIZE(static_cast<size_t>(cpus));
    if (!set) break;
    if (::sched_getaffinity(0, bytes, set.get()) == 0) return CPU_COUNT_S(bytes, set.get());
    if (errno != EINVAL) break;
  }
  return 1;
}

}  // namespace

int64_t available_cores() {
  return std::max<int64_t>(std::min(cores_of_affinity(), cpus_of_quota()), 1);
}

void use_threads(int64_t threads) {
  threads_of_this_thread = threads > 0 ? threads : available_cores();
}

int64_t used_threads() {
  if (threads_of_this_thread == 0) use_threads(0);
  return threads_of_this_thread;
}

}  // namespace dms
