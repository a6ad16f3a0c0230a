#include "base/threads.h"

#include <algorithm>

#include <omp.h>
#include <sched.h>

namespace dms {

int64_t available_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  return std::max(CPU_COUNT(&set), 1);
}

void use_threads(int64_t threads) {
  omp_set_num_threads(static_cast<int>(threads > 0 ? threads : available_cores()));
}

}  // namespace dms
