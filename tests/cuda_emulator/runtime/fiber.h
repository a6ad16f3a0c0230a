#pragma once
// Stacks that a host thread switches between.

#include "cuda_emulator/runtime/state.h"

namespace cuda_emulator {

inline constexpr size_t kStackBytes = 256 << 10;

/// A stack with a guard page below.
u8* new_stack();
/// Prepares a thread, whose stack is set, to begin in `entry`.
void prepare_fiber(Thread& thread, void (*entry)());

/// From the scheduler to a thread, until it leaves.
void enter(Thread* thread);
/// From a thread to the scheduler.
void leave(Thread* self);
/// To be called first in a fiber.
void finish_first_switch();

/// The thread that runs on this worker.
Thread* current_thread();

}  // namespace cuda_emulator
