#pragma once
// How many threads the parallel regions of kernels and decoder use.

#include <cstdint>

namespace dms {

/// Cores this process may run on (its affinity mask), at least 1.
int64_t available_cores();

/// Sets the number of OpenMP threads of regions started by the calling thread; 0: all cores.
void use_threads(int64_t threads);

}  // namespace dms
