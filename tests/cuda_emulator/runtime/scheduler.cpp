// Fibers of one cluster: who runs next, when copies land, what is a deadlock.

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <map>

#include "cuda_emulator/cuda_emulator.h"
#include "cuda_emulator/runtime/fiber.h"
#include "cuda_emulator/runtime/sanitizers.h"

namespace cuda_emulator {
namespace {

// Codes of cudaError_t.
constexpr int kIllegalAddress = 700, kLaunchTimeout = 702;

const char* const kLoop = "loop";
const char* const kMbarrierWait = "mbarrier wait";

std::string block_name(const Thread& thread) {
  char text[64];
  std::snprintf(
      text, sizeof text, "block (%u,%u,%u)", thread.ctaid[0], thread.ctaid[1], thread.ctaid[2]);
  return text;
}

/// A thread that looked at the same state before would see nothing new.
bool is_stale(const Cluster& cluster, const Thread& thread) {
  return thread.state == ThreadState::spinning && thread.seen_progress == cluster.progress &&
         std::strcmp(thread.waits_for, kLoop) != 0;
}

void report_deadlock(Cluster& cluster) {
  std::map<std::string, int> waiting;
  const Thread* any = nullptr;
  for (const auto& block : cluster.blocks) {
    for (const Thread& thread : block->threads) {
      if (thread.state == ThreadState::done) continue;
      any = &thread;
      const std::string what = thread.waits_for ? thread.waits_for : "?";
      waiting[what + " [" + place_of(thread) + "]"]++;
    }
  }
  std::string text = "deadlock in " + block_name(*any) + ":";
  for (const auto& [what, threads] : waiting) {
    text.append(" ").append(std::to_string(threads)).append(" threads in ").append(what) += ";";
  }
  cluster.launch->set_failed(kLaunchTimeout, text);
}

void run_thread() {
  finish_first_switch();
  Thread* const self = current_thread();
  self->launch->kernel->run(self, self->params);
  Block& block = *self->block;
  Cluster& cluster = *block.cluster;
  self->state = ThreadState::done;
  block.live--;
  cluster.live--;
  self->warp->live &= ~(1u << self->lane);
  cluster.progress++;
  leave_collectives(self);
  leave_barriers(self);
  for (;;) leave(self);
}

void take_shared_memory(Worker& worker, u32 blocks, u32 size) {
  if (worker.shared.size() >= blocks && worker.shared_capacity >= size) return;
  for (u8* memory : worker.shared) std::free(memory);
  worker.shared.clear();
  worker.shared_capacity = std::max(worker.shared_capacity, size);
  const size_t bytes = (worker.shared_capacity + 8191) / 4096 * 4096;
  for (u32 i = 0; i < blocks; i++) {
    worker.shared.push_back(static_cast<u8*>(std::aligned_alloc(4096, bytes)));
  }
}

void start_thread(Worker& worker, Block& block, u32 linear, const u32 (&ctaid)[3], size_t fiber) {
  const Launch& launch = *worker.launch;
  Thread& thread = block.threads[linear];
  thread = Thread{};
  thread.block = &block;
  thread.warp = &block.warps[linear / 32];
  thread.launch = worker.launch;
  thread.params = launch.params;
  thread.shared = block.shared;
  thread.shared_base = block.rank << 24;
  thread.shared_size = block.shared_size;
  thread.linear = linear;
  thread.lane = linear % 32;
  thread.warp_index = linear / 32;
  thread.counts = worker.counters.executions.data();
  u32 rest = linear;
  for (int axis = 0; axis < 3; axis++) {
    thread.tid[axis] = rest % launch.block[axis];
    rest /= launch.block[axis];
    thread.ntid[axis] = launch.block[axis];
    thread.ctaid[axis] = ctaid[axis];
    thread.nctaid[axis] = launch.grid[axis];
  }
  worker.asyncs.push_back(std::make_unique<AsyncCopies>());
  thread.async = worker.asyncs.back().get();
  thread.warp->lanes[thread.lane] = &thread;
  thread.warp->live |= 1u << thread.lane;
  if (worker.stacks.size() <= fiber) worker.stacks.push_back(new_stack());
  thread.stack_begin = worker.stacks[fiber];
  prepare_fiber(thread, run_thread);
  block.cluster->ready.push_back(&thread);
}

void start_block(Worker& worker, Cluster& cluster, u32 rank, const u32 (&first_ctaid)[3]) {
  const Launch& launch = *worker.launch;
  const u32 threads = launch.threads_per_block();
  cluster.blocks.push_back(std::make_unique<Block>());
  Block& block = *cluster.blocks.back();
  block.rank = rank;
  block.cluster = &cluster;
  block.shared_size = launch.shared_size;
  block.shared = worker.shared[rank];
  std::memset(block.shared, 0xff, launch.shared_size);  // NaN in every float format
  block.generic_writes.assign(launch.shared_size / 16 + 2, 0);
  if (race_check_is_on) {
    block.clocks.assign(threads, Clock(threads + kAgents, 0));
    for (u32 i = 0; i < threads; i++) block.clocks[i][i] = 1;
    block.accesses.resize(launch.shared_size / 2 + 1);
  }
  block.threads.resize(threads);
  block.warps.resize((threads + 31) / 32);
  block.live = threads;
  u32 ctaid[3], rest = rank;
  for (int axis = 0; axis < 3; axis++) {
    ctaid[axis] = first_ctaid[axis] + rest % launch.cluster[axis];
    rest /= launch.cluster[axis];
  }
  for (u32 i = 0; i < threads; i++) {
    start_thread(worker, block, i, ctaid, size_t{rank} * threads + i);
  }
}

void start_cluster(Worker& worker, Cluster& cluster, u64 index) {
  const Launch& launch = *worker.launch;
  const u32 blocks = launch.blocks_per_cluster();
  u32 first_ctaid[3];
  for (int axis = 0; axis < 3; axis++) {
    const u32 clusters = launch.grid[axis] / launch.cluster[axis];
    first_ctaid[axis] = static_cast<u32>(index % clusters) * launch.cluster[axis];
    index /= clusters;
  }
  take_shared_memory(worker, blocks, launch.shared_size);
  worker.asyncs.clear();
  for (u32 rank = 0; rank < blocks; rank++) start_block(worker, cluster, rank, first_ctaid);
  cluster.live = blocks * launch.threads_per_block();
  if (profile_is_on) {
    const auto sites = static_cast<size_t>(launch.kernel->site_count);
    worker.visits.assign(size_t{blocks} * 1024, std::vector<u32>(sites, 0));
  }
  for (const auto& block : cluster.blocks) {
    for (Thread& thread : block->threads) tsan_release(&thread);
  }
}

/// Lets threads in mbarrier.try_wait return without success, once for a state of the cluster.
bool return_early(Cluster& cluster) {
  if (cluster.early_return_at == cluster.progress || cluster.mbarrier_waiting.empty()) return false;
  cluster.early_return_at = cluster.progress;
  constexpr u64 kWoken = ~u64{0};
  for (Thread* thread : std::exchange(cluster.mbarrier_waiting, {})) {
    const bool waits =
        thread->state == ThreadState::blocked && !std::strcmp(thread->waits_for, kMbarrierWait);
    if (waits && thread->seen_progress != kWoken) {
      thread->seen_progress = kWoken;
      make_ready(thread);
    }
  }
  for (Thread* thread : cluster.ready) thread->seen_progress = 0;
  return !cluster.ready.empty();
}

Thread* take_next(Worker& worker, Cluster& cluster, bool avoids_last) {
  auto& ready = cluster.ready;
  const Schedule schedule = options().schedule;
  if (schedule == Schedule::last_in && !avoids_last) {
    Thread* const thread = ready.back();
    ready.pop_back();
    return thread;
  }
  if (schedule == Schedule::random) {
    std::swap(ready[worker.random() % ready.size()], ready.front());
  }
  Thread* const thread = ready.front();
  ready.pop_front();
  return thread;
}

/// Nothing can run: copies land, or waiting threads look once more, or it is a deadlock.
void advance(Cluster& cluster) {
  if (!cluster.events.empty()) {
    const bool newest = options().landing == Landing::newest_first;
    run_event(cluster, newest ? cluster.events.size() - 1 : 0);
  } else if (!return_early(cluster)) {
    report_deadlock(cluster);
  }
}

void advance_past_spinning(Cluster& cluster) {
  if (cluster.events.empty()) {
    report_deadlock(cluster);
  } else {
    run_event(cluster, 0);
  }
}

void run_threads(Worker& worker, Cluster& cluster) {
  constexpr u64 kLandingOdds = 16;  // of turns, with Landing::random
  size_t stale_turns = 0;
  while (cluster.live && !cluster.launch->failed) {
    if (options().landing == Landing::random && !cluster.events.empty() &&
        worker.random() % kLandingOdds == 0) {
      run_event(cluster, worker.random() % cluster.events.size());
    }
    if (cluster.ready.empty()) {
      advance(cluster);
      continue;
    }
    Thread* const thread = take_next(worker, cluster, stale_turns > 0);
    if (!is_stale(cluster, *thread)) {
      stale_turns = 0;
      enter(thread);
      continue;
    }
    cluster.ready.push_back(thread);
    const auto stale = [&](const Thread* other) { return is_stale(cluster, *other); };
    if (++stale_turns > 4 * cluster.ready.size() + 64 &&
        std::ranges::all_of(cluster.ready, stale)) {
      stale_turns = 0;
      advance_past_spinning(cluster);
    }
  }
}

}  // namespace

u64 Worker::random() {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return random_state;
}

void Launch::set_failed(int code, const std::string& text) {
  const std::lock_guard lock(mutex);
  if (failed) return;
  message = text;
  error = code;
  failed = true;
}

std::string place_of(const Thread& thread) {
  const Kernel& kernel = *thread.launch->kernel;
  if (thread.site >= static_cast<u32>(kernel.site_count)) return "?";
  const Site& site = kernel.sites[thread.site];
  const char* slash = std::strrchr(site.file, '/');
  return std::string(site.opcode) + " at " + (slash ? slash + 1 : site.file) + ":" +
         std::to_string(site.line);
}

void fail(Thread* self, const char* format, ...) {
  char text[512], thread[64];
  va_list args;
  va_start(args, format);
  std::vsnprintf(text, sizeof text, format, args);
  va_end(args);
  std::snprintf(
      thread, sizeof thread, " thread (%u,%u,%u): ", self->tid[0], self->tid[1], self->tid[2]);
  self->launch->set_failed(kIllegalAddress,
                           block_name(*self) + thread + text + " [" + place_of(*self) + "]");
  self->state = ThreadState::failed;
  for (;;) leave(self);
}

void make_ready(Thread* thread) {
  thread->state = ThreadState::ready;
  thread->block->cluster->ready.push_back(thread);
}

void block_on(Thread* self, const char* what) {
  self->state = ThreadState::blocked;
  self->waits_for = what;
  leave(self);
}

void spin(Thread* self, const char* what) {
  Cluster& cluster = *self->block->cluster;
  self->state = ThreadState::spinning;
  self->waits_for = what;
  self->seen_progress = cluster.progress;
  cluster.ready.push_back(self);
  leave(self);
}

void yield_in_loop(Thread* self) { spin(self, kLoop); }

void run_cluster(Worker& worker, Launch& launch, u64 index) {
  Cluster cluster;
  cluster.worker = &worker;
  cluster.launch = &launch;
  start_cluster(worker, cluster, index);
  run_threads(worker, cluster);
  for (const auto& block : cluster.blocks) {
    for (Thread& thread : block->threads) tsan_end_fiber(thread.tsan_fiber);
  }
  if (profile_is_on) count_incomplete_accesses(worker);
  if (launch.failed) return;
  // Committed copies to global memory are complete when the grid is.
  Thread* const any = &cluster.blocks[0]->threads[0];
  for (const auto& async : worker.asyncs) {
    for (const auto& group : async->bulk_groups) {
      for (const Copy& copy : group) land(any, copy, false);
    }
  }
}

}  // namespace cuda_emulator
