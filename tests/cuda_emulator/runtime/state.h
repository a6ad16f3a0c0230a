#pragma once
// What a launch consists of while it runs. A Worker is a host thread; it runs one Cluster at a time
// (a block alone where the kernel has no clusters), whose threads are fibers on it.

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "cuda_emulator/runtime/device.h"

namespace cuda_emulator {

struct Cluster;
struct Worker;

/// A vector clock, of the race check.
using Clock = std::vector<u32>;

/// Lanes that have come to a collective operation; the last one computes for all.
struct Collective {
  u32 mask = 0;
  u32 arrived = 0;
  const char* name = "";
  u32 site = 0;
  void* slots[32] = {};  // each lane's operands and result
  void (*complete)(Thread*, Collective&) = nullptr;

  bool has(u32 lane) const { return arrived >> lane & 1; }
};

struct Warp {
  Thread* lanes[32] = {};
  u32 live = 0;
  std::vector<Collective> pending;
};

/// Last accesses to two bytes of shared memory; a clock of 0 means none.
struct ShadowUnit {
  u32 write_thread = 0, write_clock = 0, write_site = 0;
  u32 read_thread = 0, read_clock = 0, read_site = 0;
  std::unique_ptr<Clock> readers;  // where threads have read that nothing orders
};

struct Barrier {
  u32 arrived = 0;
  u32 expected = 0;  // 0: free, ~0: all threads of the block
  u32 count = 0;     // of bar.red: threads whose predicate holds
  u32 result = 0;    // of the last bar.red
  std::vector<Thread*> waiting;
  Clock clock;
};

struct Mbarrier {
  u32 expected = 0;  // arrivals a phase
  u32 pending = 0;
  i64 bytes = 0;  // announced and not yet landed
  u32 phase = 0;
  u64 canary = 0;  // what the barrier's place in memory must hold
  std::vector<Thread*> waiting;
  Clock current, completed;  // of arrivals in this phase and in the last one
};

// Places in Block::clocks for asynchronous copies, which are agents of their own.
inline constexpr u32 kAgents = 32;

struct Block {
  u32 rank = 0;  // in the cluster
  u8* shared = nullptr;
  u32 shared_size = 0;
  u32 live = 0;
  Cluster* cluster = nullptr;
  std::vector<Thread> threads;
  std::vector<Warp> warps;
  Barrier barriers[16];
  std::unordered_map<u32, Mbarrier> mbarriers;  // by offset
  // Of 16 bytes: who wrote last through the generic proxy, (thread + 1) << 16 | proxy epoch; or 0.
  std::vector<u32> generic_writes;
  // Race check.
  std::vector<Clock> clocks;                // [thread]
  std::vector<ShadowUnit> accesses;         // [offset / 2]
  Clock cluster_arriving, cluster_arrived;  // of barrier.cluster, in this phase and the last one
  u32 agents = 0;
  u32 agent_clocks[kAgents] = {};
};

struct Copy {
  u8* target = nullptr;
  const u8* source = nullptr;
  u32 size = 0;
  u32 source_size = 0;  // the rest is zeros
  u32 site = 0;
  Block* block = nullptr;  // of a target in shared memory, at `offset`
  u32 offset = 0;
};

/// Copies that land together and then tell mbarriers.
struct Event {
  struct Signal {
    Block* block;
    u32 offset;  // of the mbarrier
    u32 bytes;
  };
  std::vector<Copy> copies;
  std::vector<Signal> signals;
  u32 arrivals = 0;  // 0: bytes are told instead
  u32 site = 0;
  Thread* by = nullptr;
  bool is_async_proxy = false;
  Clock clock;
};

/// What a wgmma in flight reads, and the hash of what it read at its issue.
struct WgmmaReads {
  struct Range {
    const u8* begin;
    u32 size;
  };
  std::vector<Range> ranges;
  u64 hash = 0;
};

/// A thread's open and committed groups.
struct AsyncCopies {
  std::vector<Copy> open, bulk_open;
  std::deque<std::vector<Copy>> groups, bulk_groups;
  std::vector<WgmmaReads> wgmma_open;
  std::deque<std::vector<WgmmaReads>> wgmma_groups;
};

struct SiteCounts {
  u64 requests = 0, units = 0, ideal = 0;
  void add(const SiteCounts& other) {
    requests += other.requests;
    units += other.units;
    ideal += other.ideal;
  }
};

/// Accesses of a warp at one site, until all its lanes have come.
struct WarpAccess {
  u32 size = 0;
  u32 mask = 0;
  u64 addresses[32];  // [lane]
};

struct Cluster {
  Worker* worker = nullptr;
  Launch* launch = nullptr;
  std::vector<std::unique_ptr<Block>> blocks;
  std::deque<Thread*> ready;
  std::deque<std::unique_ptr<Event>> events;
  u64 progress = 1;  // changes whenever something happens that a waiting thread could see
  u32 live = 0;
  // barrier.cluster
  u32 arrived = 0, phase = 0;
  std::vector<Thread*> waiting;
  // mbarrier.try_wait may return early; that is tried once before a deadlock is called one.
  std::vector<Thread*> mbarrier_waiting;
  u64 early_return_at = 0;  // progress
};

/// Sums over a launch or a worker's share of it.
struct Counters {
  std::vector<u64> executions;    // [site]
  std::vector<SiteCounts> sites;  // [site], with profile
  std::unordered_set<u64> read_sectors, written_sectors;
  u64 async_bytes = 0, bulk_bytes = 0, switches = 0;

  void reset(int site_count);
  void add(const Counters& other);
};

struct Launch {
  Kernel* kernel = nullptr;
  u32 grid[3] = {}, block[3] = {}, cluster[3] = {};
  u32 dynamic_shared = 0, shared_size = 0;
  u8* params = nullptr;
  u32 params_size = 0;
  std::atomic<u64> next{0};  // cluster to run
  std::atomic<bool> failed{false};
  std::mutex mutex;  // of what follows
  std::string message;
  int error = 0;
  Counters counters;

  u32 blocks_per_cluster() const { return cluster[0] * cluster[1] * cluster[2]; }
  u32 threads_per_block() const { return block[0] * block[1] * block[2]; }
  void set_failed(int code, const std::string& text);
};

struct Worker {
  void* stack_pointer = nullptr;  // of the scheduler
  void* tsan_fiber = nullptr;
  Launch* launch = nullptr;
  Counters counters;
  u64 random_state = 1;
  std::vector<u8*> stacks;  // of fibers; kept between launches
  std::vector<u8*> shared;  // memory of blocks; likewise
  u32 shared_capacity = 0;
  std::vector<std::unique_ptr<AsyncCopies>> asyncs;
  // Profile: how often each thread came to each site, [rank * 1024 + thread][site], and accesses of
  // warps that are not complete.
  std::vector<std::vector<u32>> visits;
  std::unordered_map<u64, WarpAccess> accesses;

  u64 random();
};

extern thread_local Worker* this_worker;

// scheduler.cpp
void make_ready(Thread* thread);
void block_on(Thread* self, const char* what);
void spin(Thread* self, const char* what);
void run_cluster(Worker& worker, Launch& launch, u64 index);
std::string place_of(const Thread& thread);

// memory.cpp
Variable* find_variable(const char* name);
/// Returns the block that owns a shared address, and the offset in it.
Block& shared_block(Thread* self, u32 address, u32 size, u32& offset);

// profile.cpp
void count_warp_access(Worker& worker, u32 site, const WarpAccess& access, bool is_shared);
void count_incomplete_accesses(Worker& worker);

// race.cpp
void join(Clock& clock, const Clock& other);
Clock& clock_of(Thread* thread);
void tick(Thread* thread);
/// Gives an asynchronous copy a clock of its own, and its first accesses to shared memory.
void start_agent(Thread* self, Event& event);

// warp.cpp
/// Waits for the live lanes of the mask; the last one to come calls `complete`.
void collect(Thread* self,
             u32 site,
             u32 mask,
             const char* name,
             bool is_aligned,
             void* slot,
             void (*complete)(Thread*, Collective&));
void leave_collectives(Thread* self);

// barrier.cpp
void leave_barriers(Thread* self);

// mbarrier.cpp
struct MbarrierPlace {
  Mbarrier& barrier;
  Block& block;
  u32 offset;
};
MbarrierPlace find_mbarrier(Thread* self, u32 address);
void end_phase_if_complete(Cluster& cluster, Mbarrier& barrier);

// async_copy.cpp
void land(Thread* by, const Copy& copy, bool is_async_proxy);
void run_event(Cluster& cluster, size_t index);
void post(Thread* self, std::unique_ptr<Event> event);
/// Fails where the async proxy reads what the generic one wrote without a fence.
void check_proxy(Thread* self, Block& block, u32 offset, u32 size, const char* who);

}  // namespace cuda_emulator
