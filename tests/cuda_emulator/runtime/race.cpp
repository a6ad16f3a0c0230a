// Happens-before check of shared memory: a vector clock per thread, and the last accesses to every
// two bytes, as FastTrack keeps them (Flanagan and Freund, 2009). Barriers, mbarriers and
// __syncwarp order; so do barriers of a cluster, within a block. Asynchronous copies to shared
// memory are agents with clocks of their own.

#include <algorithm>

#include "cuda_emulator/runtime/state.h"

namespace cuda_emulator {

bool race_check_is_on = false;

void join(Clock& clock, const Clock& other) {
  if (clock.size() < other.size()) clock.resize(other.size());
  for (size_t i = 0; i < other.size(); i++) clock[i] = std::max(clock[i], other[i]);
}

Clock& clock_of(Thread* thread) { return thread->block->clocks[thread->linear]; }

void tick(Thread* thread) { clock_of(thread)[thread->linear]++; }

namespace {

/// An access as the agent `who`, at its time `when`.
struct Access {
  Thread* self;
  u32 offset;
  u32 who;
  u32 when;

  const Clock& seen() const { return clock_of(self); }
};

[[noreturn]] void report(const Access& access, const char* kind, u32 other, u32 other_site) {
  const Site& site = access.self->launch->kernel->sites[other_site];
  const bool is_thread = other < access.self->block->threads.size();
  fail(access.self,
       "shared-memory race: %s with %s %u (%s at line %d), offset %u",
       kind,
       is_thread ? "thread" : "asynchronous copy",
       is_thread ? other : 0,
       site.opcode,
       site.line,
       access.offset);
}

void write_unit(const Access& access, ShadowUnit& unit, bool checks) {
  const Clock& seen = access.seen();
  if (checks && unit.read_clock && unit.read_thread != access.who &&
      unit.read_clock > seen[unit.read_thread]) {
    report(access, "write after read", unit.read_thread, unit.read_site);
  }
  if (unit.readers) {
    for (u32 i = 0; i < unit.readers->size(); i++) {
      if (i != access.who && (*unit.readers)[i] > seen[i]) {
        report(access, "write after read", i, unit.read_site);
      }
    }
    unit.readers.reset();
  }
  unit.read_clock = 0;
  unit.write_thread = access.who;
  unit.write_clock = access.when;
  unit.write_site = access.self->site;
}

void read_unit(const Access& access, ShadowUnit& unit) {
  const Clock& seen = access.seen();
  const bool follows_read = !unit.read_clock || unit.read_thread == access.who ||
                            unit.read_clock <= seen[unit.read_thread];
  unit.read_site = access.self->site;
  if (follows_read) {
    unit.read_thread = access.who;
    unit.read_clock = seen[access.who];
    return;
  }
  if (!unit.readers) unit.readers = std::make_unique<Clock>(access.self->block->threads.size(), 0u);
  (*unit.readers)[access.who] = seen[access.who];
}

void check(const Access& access, u32 size, bool is_write) {
  const Clock& seen = access.seen();
  const bool checks = size > 1;  // two threads may write the bytes of one unit
  for (u32 i = access.offset / 2; i < (access.offset + size + 1) / 2; i++) {
    ShadowUnit& unit = access.self->block->accesses[i];
    if (checks && unit.write_clock && unit.write_thread != access.who &&
        unit.write_clock > seen[unit.write_thread]) {
      report(access,
             is_write ? "write after write" : "read after write",
             unit.write_thread,
             unit.write_site);
    }
    if (is_write) {
      write_unit(access, unit, checks);
    } else {
      read_unit(access, unit);
    }
  }
}

}  // namespace

void check_race(Thread* self, u32 offset, u32 size, bool is_write) {
  check({self, offset, self->linear, clock_of(self)[self->linear]}, size, is_write);
}

void start_agent(Thread* self, Event& event) {
  Block& block = *self->block;
  const u32 agent = block.agents++ % kAgents;
  event.clock.assign(block.threads.size() + kAgents, 0);
  event.clock[block.threads.size() + agent] = ++block.agent_clocks[agent];
  const u32 who = static_cast<u32>(block.threads.size()) + agent;
  for (const Copy& copy : event.copies) {
    if (copy.block == &block) {
      check({self, copy.offset, who, block.agent_clocks[agent]}, copy.size, true);
    }
  }
}

}  // namespace cuda_emulator
