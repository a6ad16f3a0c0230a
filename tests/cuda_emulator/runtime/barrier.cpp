// Barriers of blocks and clusters, and what threads know of their place in them.

#include "cuda_emulator/cuda_emulator.h"
#include "cuda_emulator/runtime/sanitizers.h"
#include "cuda_emulator/runtime/state.h"

namespace cuda_emulator {
namespace {

constexpr u32 kAllThreads = ~0u;

void release(Thread* by, Barrier& barrier, Thread* self) {
  if (race_check_is_on) {
    for (Thread* thread : barrier.waiting) {
      clock_of(thread) = barrier.clock;
      tick(thread);
    }
    if (self) tick(self);
    barrier.clock.clear();
  }
  barrier.arrived = 0;
  barrier.expected = 0;
  barrier.result = std::exchange(barrier.count, 0);
  by->block->cluster->progress++;
  for (Thread* thread : std::exchange(barrier.waiting, {})) {
    if (thread != self) make_ready(thread);
  }
}

void end_cluster_phase(Cluster& cluster) {
  cluster.arrived = 0;
  cluster.phase++;
  cluster.progress++;
  for (const auto& block : cluster.blocks) {
    block->cluster_arrived = std::exchange(block->cluster_arriving, {});
  }
  for (Thread* thread : std::exchange(cluster.waiting, {})) make_ready(thread);
}

Barrier& join_barrier(Thread* self, u32 site, u32 id, u32 threads, bool only_arrives) {
  count(self, site);
  if (id > 15) fail(self, "barrier id %u", id);
  if (threads % 32 != 0) fail(self, "barrier thread count %u is not a multiple of 32", threads);
  Barrier& barrier = self->block->barriers[id];
  const u32 expected = threads ? threads : kAllThreads;
  if (barrier.arrived && barrier.expected != expected) {
    fail(self, "barrier %u used with two counts", id);
  }
  barrier.expected = expected;
  barrier.arrived++;
  tsan_release(&barrier);
  if (race_check_is_on) {
    join(barrier.clock, clock_of(self));
    if (only_arrives) tick(self);
  }
  if (!only_arrives) barrier.waiting.push_back(self);
  return barrier;
}

void wait_barrier(Thread* self, Barrier& barrier, u32 threads, bool only_arrives) {
  if (barrier.arrived >= (threads ? threads : self->block->live)) {
    release(self, barrier, self);
  } else if (!only_arrives) {
    block_on(self, "bar.sync");
  }
  if (!only_arrives) tsan_acquire(&barrier);
}

}  // namespace

void bar(Thread* self, u32 site, u32 id, u32 threads, bool only_arrives) {
  Barrier& barrier = join_barrier(self, site, id, threads, only_arrives);
  wait_barrier(self, barrier, threads, only_arrives);
}

u32 bar_red(Thread* self, u32 site, u32 id, u32 threads, char kind, bool value) {
  Barrier& barrier = join_barrier(self, site, id, threads, false);
  // `and` counts the threads whose predicate does not hold.
  barrier.count += value != (kind == 'a');
  wait_barrier(self, barrier, threads, false);
  if (kind == 'c') return barrier.result;
  return (barrier.result == 0) == (kind == 'a');
}

void leave_barriers(Thread* self) {
  Block& block = *self->block;
  for (Barrier& barrier : block.barriers) {
    const bool waits_for_all = barrier.arrived && barrier.expected == kAllThreads;
    if (waits_for_all && block.live && barrier.arrived >= block.live) {
      release(self, barrier, nullptr);
    }
  }
  Cluster& cluster = *block.cluster;
  if (cluster.arrived && cluster.arrived >= cluster.live) end_cluster_phase(cluster);
}

void cluster_arrive(Thread* self, u32 site) {
  self->site = site;
  Cluster& cluster = *self->block->cluster;
  tsan_release(&cluster);
  if (race_check_is_on) {
    join(self->block->cluster_arriving, clock_of(self));
    tick(self);
  }
  cluster.arrived++;
  self->cluster_phase = cluster.phase;
  if (cluster.arrived >= cluster.live) end_cluster_phase(cluster);
}

void cluster_wait(Thread* self, u32 site) {
  self->site = site;
  Cluster& cluster = *self->block->cluster;
  if (cluster.phase == self->cluster_phase) {
    cluster.waiting.push_back(self);
    block_on(self, "barrier.cluster.wait");
  }
  tsan_acquire(&cluster);
  if (race_check_is_on) join(clock_of(self), self->block->cluster_arrived);
}

u32 mapa(Thread* self, u32 address, u32 rank) {
  if (rank >= self->block->cluster->blocks.size()) fail(self, "mapa: rank %u", rank);
  return (address & 0xffffff) | rank << 24;
}

u64 mapa_generic(Thread* self, u64 address, u32 rank) {
  const auto& blocks = self->block->cluster->blocks;
  const u64 begin = reinterpret_cast<u64>(self->shared);
  if (rank >= blocks.size() || address < begin || address >= begin + self->shared_size) {
    fail(self, "mapa: rank %u or address", rank);
  }
  return reinterpret_cast<u64>(blocks[rank]->shared) + (address - begin);
}

u32 special(Thread* self, Special which, int axis) {
  const Launch& launch = *self->launch;
  const auto sms = static_cast<u32>(options().sm_count);
  switch (which) {
    case Special::cluster_rank:
      return self->block->rank;
    case Special::cluster_blocks:
      return static_cast<u32>(self->block->cluster->blocks.size());
    case Special::dynamic_shared:
      return launch.dynamic_shared;
    case Special::total_shared:
      return self->shared_size;
    case Special::sm:
      return (self->ctaid[0] * 7 + self->ctaid[1]) % sms;  // any would do
    case Special::sm_count:
      return sms;
    case Special::cluster_ctaid:
      return self->ctaid[axis] % launch.cluster[axis];
    case Special::cluster_nctaid:
      return launch.cluster[axis];
    case Special::clusterid:
      return self->ctaid[axis] / launch.cluster[axis];
    case Special::nclusterid:
      return launch.grid[axis] / launch.cluster[axis];
  }
  return 0;
}

u64 cycle_counter(Thread*) { return this_worker->counters.switches; }

}  // namespace cuda_emulator
