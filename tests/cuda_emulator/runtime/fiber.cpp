#include "cuda_emulator/runtime/fiber.h"

#include <cstdlib>

#include <sys/mman.h>

#include "cuda_emulator/runtime/sanitizers.h"
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

// Saves the callee-saved registers on the stack and goes on with another one.
extern "C" void cuda_emulator_switch(void** save, void* load);

#if defined(__x86_64__)
asm(R"(
.text
.globl cuda_emulator_switch
.type cuda_emulator_switch,@function
cuda_emulator_switch:
  pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15
  movq %rsp,(%rdi)
  movq %rsi,%rsp
  popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp
  ret
)");
#elif defined(__aarch64__)
asm(R"(
.text
.globl cuda_emulator_switch
cuda_emulator_switch:
  sub sp,sp,#176
  stp x19,x20,[sp,#0]; stp x21,x22,[sp,#16]; stp x23,x24,[sp,#32]; stp x25,x26,[sp,#48]
  stp x27,x28,[sp,#64]; stp x29,x30,[sp,#80]
  stp d8,d9,[sp,#96]; stp d10,d11,[sp,#112]; stp d12,d13,[sp,#128]; stp d14,d15,[sp,#144]
  mov x9,sp; str x9,[x0]; mov sp,x1
  ldp x19,x20,[sp,#0]; ldp x21,x22,[sp,#16]; ldp x23,x24,[sp,#32]; ldp x25,x26,[sp,#48]
  ldp x27,x28,[sp,#64]; ldp x29,x30,[sp,#80]
  ldp d8,d9,[sp,#96]; ldp d10,d11,[sp,#112]; ldp d12,d13,[sp,#128]; ldp d14,d15,[sp,#144]
  add sp,sp,#176
  ret
)");
#else
#error "no switch of stacks for this processor"
#endif

namespace cuda_emulator {

thread_local Worker* this_worker;

namespace {

thread_local Thread* running;
#if defined(__SANITIZE_ADDRESS__)
thread_local const void* scheduler_stack;
thread_local size_t scheduler_stack_size;
#endif

void* initial_stack(u8* top, void (*entry)()) {
  void** stack = reinterpret_cast<void**>(reinterpret_cast<uintptr_t>(top) & ~uintptr_t{15});
#if defined(__x86_64__)
  *--stack = nullptr;  // a call would have left the stack so
  *--stack = reinterpret_cast<void*>(entry);
  for (int i = 0; i < 6; i++) *--stack = nullptr;
#else
  constexpr int kSaved = 22, kLink = 11;
  stack -= kSaved;
  std::memset(stack, 0, kSaved * sizeof(void*));
  stack[kLink] = reinterpret_cast<void*>(entry);
#endif
  return stack;
}

}  // namespace

u8* new_stack() {
  constexpr size_t kGuard = 4096;
  void* stack = mmap(nullptr,
                     kStackBytes,
                     PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                     -1,
                     0);
  if (stack == MAP_FAILED || mprotect(stack, kGuard, PROT_NONE) != 0) std::abort();
  return static_cast<u8*>(stack);
}

void prepare_fiber(Thread& thread, void (*entry)()) {
  thread.stack_end = thread.stack_begin + kStackBytes;
  thread.stack_pointer = initial_stack(thread.stack_end, entry);
  thread.tsan_fiber = tsan_new_fiber();
}

void enter(Thread* thread) {
  running = thread;
  this_worker->counters.switches++;
  tsan_switch(thread->tsan_fiber);
#if defined(__SANITIZE_ADDRESS__)
  void* fake;
  __sanitizer_start_switch_fiber(&fake, thread->stack_begin, kStackBytes);
#endif
  cuda_emulator_switch(&this_worker->stack_pointer, thread->stack_pointer);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
}

void leave(Thread* self) {
  tsan_switch(this_worker->tsan_fiber);
#if defined(__SANITIZE_ADDRESS__)
  const bool returns = self->state != ThreadState::done && self->state != ThreadState::failed;
  void* fake = nullptr;
  __sanitizer_start_switch_fiber(returns ? &fake : nullptr, scheduler_stack, scheduler_stack_size);
#endif
  cuda_emulator_switch(&self->stack_pointer, this_worker->stack_pointer);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake, &scheduler_stack, &scheduler_stack_size);
#endif
}

void finish_first_switch() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &scheduler_stack, &scheduler_stack_size);
#endif
}

Thread* current_thread() { return running; }

}  // namespace cuda_emulator
