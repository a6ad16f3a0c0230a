// mbarriers: arrivals and bytes of a phase. Their state lies beside shared memory; their place in
// it holds a canary, so that whoever overwrites one is found out.

#include "cuda_emulator/cuda_emulator.h"
#include "cuda_emulator/runtime/sanitizers.h"
#include "cuda_emulator/runtime/state.h"

namespace cuda_emulator {
namespace {

const char* const kWait = "mbarrier wait";

u64 canary(u32 offset) { return 0x9e3779b97f4a7c15ull * (offset + 1); }

bool has_ended(Thread* self, Mbarrier& barrier, u64 parity) {
  if (barrier.phase == (parity & 1)) return false;
  tsan_acquire(&barrier);
  if (race_check_is_on) join(clock_of(self), barrier.completed);
  return true;
}

}  // namespace

MbarrierPlace find_mbarrier(Thread* self, u32 address) {
  u32 offset;
  Block& block = shared_block(self, address, 8, offset);
  if (offset % 8 != 0) fail(self, "mbarrier at %#x not 8-byte aligned", address);
  const auto found = block.mbarriers.find(offset);
  if (found == block.mbarriers.end()) {
    fail(self, "mbarrier at offset %u used before mbarrier.init", offset);
  }
  u64 held;
  std::memcpy(&held, block.shared + offset, 8);
  if (held != found->second.canary) fail(self, "mbarrier at offset %u was overwritten", offset);
  return {found->second, block, offset};
}

void end_phase_if_complete(Cluster& cluster, Mbarrier& barrier) {
  cluster.progress++;
  if (barrier.pending != 0 || barrier.bytes != 0) return;
  barrier.phase ^= 1;
  barrier.pending = barrier.expected;
  if (race_check_is_on) barrier.completed = std::exchange(barrier.current, {});
  for (Thread* thread : std::exchange(barrier.waiting, {})) {
    if (thread->state == ThreadState::blocked) make_ready(thread);
  }
}

void mbar_init(Thread* self, u32 site, u32 address, u32 arrivals) {
  self->site = site;
  u32 offset;
  Block& block = shared_block(self, address, 8, offset);
  const u64 value = canary(offset);
  std::memcpy(block.shared + offset, &value, 8);
  Mbarrier& barrier = block.mbarriers[offset] = {};
  barrier.expected = barrier.pending = arrivals;
  barrier.canary = value;
}

void mbar_inval(Thread* self, u32 site, u32 address) {
  self->site = site;
  const MbarrierPlace place = find_mbarrier(self, address);
  place.block.mbarriers.erase(place.offset);
}

u64 mbar_arrive(Thread* self, u32 site, u32 address, u32 arrivals, u32 expected_bytes) {
  self->site = site;
  Mbarrier& barrier = find_mbarrier(self, address).barrier;
  const u64 state = barrier.phase;
  tsan_release(&barrier);
  if (race_check_is_on) {
    join(barrier.current, clock_of(self));
    tick(self);
  }
  barrier.bytes += expected_bytes;
  if (barrier.pending < arrivals) {
    fail(self, "mbarrier: more arrivals than its count %u", barrier.expected);
  }
  barrier.pending -= arrivals;
  end_phase_if_complete(*self->block->cluster, barrier);
  return state;
}

void mbar_expect_tx(Thread* self, u32 site, u32 address, u32 bytes) {
  self->site = site;
  find_mbarrier(self, address).barrier.bytes += bytes;
}

bool mbar_test(Thread* self, u32 site, u32 address, u64 state_or_parity) {
  constexpr u64 kSpinOdds = 4;  // of waits, with Schedule::random
  self->site = site;
  if (has_ended(self, find_mbarrier(self, address).barrier, state_or_parity)) return true;
  if (options().schedule == Schedule::random && this_worker->random() % kSpinOdds == 0) {
    spin(self, kWait);
  } else {
    find_mbarrier(self, address).barrier.waiting.push_back(self);
    self->block->cluster->mbarrier_waiting.push_back(self);
    block_on(self, kWait);
  }
  return has_ended(self, find_mbarrier(self, address).barrier, state_or_parity);
}

}  // namespace cuda_emulator
