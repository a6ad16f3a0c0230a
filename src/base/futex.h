#pragma once
// Sleeping until a word changes (Linux's futex). std::atomic::wait would do, but yields the
// processor before it sleeps, which beside busy neighbours costs a whole time slice.

#include <atomic>
#include <cstdint>
#include <limits>

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace dms {

using FutexWord = std::atomic<uint32_t>;
static_assert(sizeof(FutexWord) == 4 && FutexWord::is_always_lock_free);

/// Sleeps while `word` is `value`; may also return before, so the caller asks again.
inline void futex_wait(FutexWord& word, uint32_t value) {
  ::syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, value, nullptr, nullptr, 0);
}

/// Wakes at most `sleepers` threads that wait for a change of `word`.
inline void futex_wake(FutexWord& word, int64_t sleepers) {
  constexpr int64_t kMost = std::numeric_limits<int>::max();
  ::syscall(SYS_futex,
            &word,
            FUTEX_WAKE_PRIVATE,
            static_cast<int>(sleepers < kMost ? sleepers : kMost),
            nullptr,
            nullptr,
            0);
}

}  // namespace dms
