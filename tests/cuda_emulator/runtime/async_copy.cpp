// cp.async, cp.async.bulk, and how their copies land: a copy's destination holds NaN bytes from its
// issue on, and gets its data when a wait or the scheduler says so.

#include "cuda_emulator/cuda_emulator.h"
#include "cuda_emulator/runtime/sanitizers.h"
#include "cuda_emulator/runtime/state.h"

namespace cuda_emulator {
namespace {

constexpr int kIllegalAddress = 700;  // of cudaError_t
constexpr u8 kNan = 0xff;

bool lands_at_once() { return options().landing == Landing::at_once; }

void check_bulk(Thread* self, u64 target, u64 source, u32 size) {
  if (target % 16 != 0 || source % 16 != 0 || size % 16 != 0) {
    fail(self, "cp.async.bulk: address or size not a multiple of 16");
  }
}

}  // namespace

void land(Thread* by, const Copy& copy, bool is_async_proxy) {
  if (copy.source_size) std::memcpy(copy.target, copy.source, copy.source_size);
  if (copy.size > copy.source_size) {
    std::memset(copy.target + copy.source_size, 0, copy.size - copy.source_size);
  }
  if (!copy.block) return;
  if (is_async_proxy) {
    const u32 last = (copy.offset + copy.size - 1) >> 4;
    for (u32 i = copy.offset >> 4; i <= last; i++) copy.block->generic_writes[i] = 0;
  } else if (by->block == copy.block) {
    mark_generic_write(by, copy.offset, copy.size);
  }
}

void run_event(Cluster& cluster, size_t index) {
  const auto event = std::move(cluster.events[index]);
  cluster.events.erase(cluster.events.begin() + static_cast<ptrdiff_t>(index));
  tsan_acquire(event.get());
  for (const Copy& copy : event->copies) land(event->by, copy, event->is_async_proxy);
  for (const Event::Signal& signal : event->signals) {
    const auto found = signal.block->mbarriers.find(signal.offset);
    if (found == signal.block->mbarriers.end()) {
      cluster.launch->set_failed(kIllegalAddress, "async completion on an mbarrier that is gone");
      return;
    }
    Mbarrier& barrier = found->second;
    tsan_release(&barrier);
    if (race_check_is_on) join(barrier.current, event->clock);
    if (event->arrivals) {
      barrier.pending -= event->arrivals;
    } else {
      barrier.bytes -= signal.bytes;
    }
    end_phase_if_complete(cluster, barrier);
  }
  cluster.progress++;
}

void post(Thread* self, std::unique_ptr<Event> event) {
  Cluster& cluster = *self->block->cluster;
  tsan_release(event.get());
  if (race_check_is_on) {
    join(event->clock, clock_of(self));
    tick(self);
  }
  cluster.events.push_back(std::move(event));
  if (lands_at_once()) run_event(cluster, cluster.events.size() - 1);
}

void check_proxy(Thread* self, Block& block, u32 offset, u32 size, const char* who) {
  for (u32 i = offset >> 4; i <= (offset + size - 1) >> 4; i++) {
    const u32 mark = block.generic_writes[i];
    if (!mark) continue;
    const Thread& writer = block.threads[(mark >> 16) - 1];
    if ((writer.proxy_epoch & 0xffff) == (mark & 0xffff)) {
      fail(self,
           "%s reads shared offset %u written by thread %u through the generic proxy without "
           "fence.proxy.async",
           who,
           i << 4,
           writer.linear);
    }
    block.generic_writes[i] = 0;
  }
}

void cp_async(Thread* self, u32 site, u32 target, u64 source, u32 size, u32 source_size) {
  count(self, site);
  if (target % size != 0 || source % size != 0) {
    fail(self, "cp.async: misaligned for %u bytes", size);
  }
  if (source_size > size) fail(self, "cp.async: src-size %u > %u", source_size, size);
  if (source_size) {
    if (source < self->known_begin || source + source_size > self->known_end) {
      check_global_slow(self, source, source_size, false);
    }
    if (profile_is_on) profile_access(self, site, source, source_size, false);
  }
  u32 offset;
  Block& block = shared_block(self, target, size, offset);
  const Copy copy{block.shared + offset,
                  reinterpret_cast<const u8*>(source),
                  size,
                  source_size,
                  site,
                  &block,
                  offset};
  this_worker->counters.async_bytes += source_size;
  if (race_check_is_on && &block == self->block) check_race(self, offset, size, true);
  if (lands_at_once()) {
    land(self, copy, false);
  } else {
    std::memset(copy.target, kNan, size);
    self->async->open.push_back(copy);
  }
}

void cp_async_commit(Thread* self) {
  self->async->groups.push_back(std::exchange(self->async->open, {}));
}

void cp_async_wait(Thread* self, u32 site, int pending) {
  self->site = site;
  if (pending < 0) {
    cp_async_commit(self);
    pending = 0;
  }
  auto& groups = self->async->groups;
  while (groups.size() > static_cast<size_t>(pending)) {
    for (const Copy& copy : groups.front()) land(self, copy, false);
    groups.pop_front();
  }
}

void cp_async_mbar_arrive(Thread* self, u32 site, u32 barrier, bool keeps_count) {
  self->site = site;
  const MbarrierPlace place = find_mbarrier(self, barrier);
  if (!keeps_count) place.barrier.pending++;
  auto event = std::make_unique<Event>();
  event->by = self;
  event->site = site;
  event->arrivals = 1;
  event->signals.push_back({&place.block, place.offset, 0});
  AsyncCopies& async = *self->async;
  for (const auto& group : std::exchange(async.groups, {})) {
    event->copies.insert(event->copies.end(), group.begin(), group.end());
  }
  event->copies.insert(event->copies.end(), async.open.begin(), async.open.end());
  async.open.clear();
  post(self, std::move(event));
}

void bulk_g2s(Thread* self, u32 site, u32 target, u64 source, u32 size, u32 barrier) {
  count(self, site);
  check_bulk(self, target, source, size);
  check_global_slow(self, source, size, false);
  u32 offset;
  Block& block = shared_block(self, target, size, offset);
  const MbarrierPlace place = find_mbarrier(self, barrier);
  this_worker->counters.bulk_bytes += size;
  if (profile_is_on) {
    for (u64 s = source >> 5; s < (source + size) >> 5; s++) {
      this_worker->counters.read_sectors.insert(s);
    }
  }
  auto event = std::make_unique<Event>();
  event->by = self;
  event->site = site;
  event->is_async_proxy = true;
  const auto* const from = reinterpret_cast<const u8*>(source);
  event->copies.push_back({block.shared + offset, from, size, size, site, &block, offset});
  event->signals.push_back({&place.block, place.offset, size});
  if (race_check_is_on) start_agent(self, *event);
  std::memset(block.shared + offset, kNan, size);
  post(self, std::move(event));
}

void bulk_s2g(Thread* self, u32 site, u64 target, u32 source, u32 size) {
  count(self, site);
  check_bulk(self, target, source, size);
  check_global_slow(self, target, size, true);
  u32 offset;
  Block& block = shared_block(self, source, size, offset);
  if (race_check_is_on && &block == self->block) check_race(self, offset, size, false);
  check_proxy(self, block, offset, size, "cp.async.bulk");
  self->async->bulk_open.push_back(
      {reinterpret_cast<u8*>(target), block.shared + offset, size, size, site, nullptr, 0});
}

void bulk_commit(Thread* self) {
  self->async->bulk_groups.push_back(std::exchange(self->async->bulk_open, {}));
}

void bulk_wait(Thread* self, u32 site, int pending) {
  self->site = site;
  auto& groups = self->async->bulk_groups;
  while (groups.size() > static_cast<size_t>(pending)) {
    for (const Copy& copy : groups.front()) land(self, copy, false);
    groups.pop_front();
  }
}

void fence_proxy_async(Thread* self) { self->proxy_epoch++; }

}  // namespace cuda_emulator
