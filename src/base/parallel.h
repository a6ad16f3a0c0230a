#pragma once
// Loops whose iterations several threads share: the only way the library runs anything in parallel.
//
// Every thread that starts regions has worker threads of its own, made on its first region and
// joined when it ends, so threads may run regions at the same time; a region started inside another
// runs on the thread it is in. A worker that waits spins for some microseconds, then sleeps, and
// one that does not come in time is not waited for: on a busy machine a region is at worst what its
// caller makes of it alone. After fork() the child makes new workers.
// docs/decisions/0005-own-thread-pool.md.

#include <cstdint>
#include <memory>
#include <utility>

namespace dms {

/// Iterations [begin, end) of a loop, by whatever thread claimed them.
struct LoopBody {
  void* context = nullptr;
  void (*run)(void* context, int64_t begin, int64_t end) = nullptr;
};

/// Whether a loop of `count` iterations would be shared out, were it started here.
bool runs_parallel(int64_t count, int64_t grain);

/// Shares out a loop for which runs_parallel() holds.
void run_parallel(int64_t count, int64_t grain, LoopBody body);

/// Calls body(i) once for each i of [0, count), in no order, on the threads of use_threads(), and
/// returns when all are done. `grain`: so many iterations are worth another thread's attention;
/// they are claimed that many at a time, and a loop with less than two grains runs where it was
/// called. An exception ends the loop early (iterations not begun are left out) and is thrown here;
/// of several, the first.
template <class Body>
void parallel_for(int64_t count, int64_t grain, Body&& body) {
  if (!runs_parallel(count, grain)) {
    for (int64_t i = 0; i < count; ++i) body(i);
    return;
  }
  using Plain = std::remove_reference_t<Body>;
  run_parallel(count,
               grain,
               {.context = const_cast<void*>(static_cast<const void*>(std::addressof(body))),
                .run = [](void* context, int64_t begin, int64_t end) {
                  auto& each = *static_cast<Plain*>(context);
                  for (int64_t i = begin; i < end; ++i) each(i);
                }});
}

}  // namespace dms
