#pragma once
// What the C++ that ptx2cpp writes is compiled against: a thread, and the instructions that need
// more than its registers. Every instruction that touches memory or other threads has a site.

#include <cmath>
#include <cstddef>
#include <cstring>

#include "cuda_emulator/runtime/numbers.h"

namespace cuda_emulator {

struct AsyncCopies;
struct Block;
struct Launch;
struct Warp;

/// A constant operand list; the generated code passes arrays as temporaries.
template <class T, int N>
struct Array {
  T values[static_cast<size_t>(N)];
  operator const T*() const { return values; }
};

enum class ThreadState : u8 { ready, blocked, spinning, done, failed };

/// One CUDA thread, a fiber of the host.
struct Thread {
  void* stack_pointer;
  Block* block;
  Warp* warp;
  Launch* launch;
  const u8* params;
  u8* shared;                    // the block's
  u32 shared_base, shared_size;  // shared addresses: rank in the cluster << 24, + offset
  u32 tid[3], ntid[3], ctaid[3], nctaid[3];
  u32 linear, lane, warp_index;
  u64* counts;                 // executions, [site]
  u64 known_begin, known_end;  // allocation of the last global access
  u32 site;
  u32 proxy_epoch;  // counts fence.proxy.async
  ThreadState state;
  u64 seen_progress;  // of the cluster, when it last yielded
  u32 cluster_phase;
  const char* waits_for;
  u32 branches;  // backward ones since the last yield
  AsyncCopies* async;
  u8* stack_begin;
  u8* stack_end;
  void* tsan_fiber;
};

/// kind: g, G global load and store; s, S shared; a global to shared; m matrix; l ldmatrix; 0 other
struct Site {
  const char* opcode;
  const char* file;
  int line;
  int bytes;  // a thread; of a matrix instruction flop a warp
  char kind;
};

struct Param {
  u32 offset, size;
};

struct Kernel {
  const char* name;
  void (*run)(Thread*, const u8*);
  u32 static_shared;  // dynamic shared memory begins here
  const Param* params;
  int param_count;
  const Site* sites;
  int site_count;
  u32 max_threads;  // of __launch_bounds__, or 0
  u32 cluster[3];
  Kernel* next;
};

/// A __device__ or __constant__ variable.
struct Variable {
  const char* name;
  void* address;
  size_t size;
  Variable* next;
};

bool register_kernel(Kernel* kernel);
bool register_variable(Variable* variable);

/// Ends the thread and the launch with an error that tells the place.
[[noreturn]] void fail(Thread* self, const char* format, ...) __attribute__((format(printf, 2, 3)));

/// Lets other threads run; for loops that wait for what another thread does.
void yield_in_loop(Thread* self);
inline void backward_branch(Thread* self) {
  // Often enough for a loop that waits, seldom enough to cost nothing in one that computes.
  constexpr u32 kBranchesPerTurn = 20000;
  if (++self->branches >= kBranchesPerTurn) {
    self->branches = 0;
    yield_in_loop(self);
  }
}

// Memory.
extern bool profile_is_on, race_check_is_on;
void check_global_slow(Thread* self, u64 address, u32 size, bool is_write);
void profile_access(Thread* self, u32 site, u64 address, u32 size, bool is_shared);
void check_race(Thread* self, u32 offset, u32 size, bool is_write);
u8* other_shared(Thread* self, u32 address, u32 size);
void mark_generic_write(Thread* self, u32 offset, u32 size);
u8* generic(Thread* self, u32 site, u64 address, u32 size, bool is_write, bool is_atomic = false);

inline void count(Thread* self, u32 site) {
  self->site = site;
#if !defined(__SANITIZE_THREAD__)  // a host thread's fibers share the counters
  self->counts[site]++;
#endif
}

inline void check_global(Thread* self, u32 site, u64 address, u32 size, bool is_write) {
  count(self, site);
  if (address & (size - 1)) {
    fail(self,
         "misaligned global %s of %u bytes at %#llx",
         is_write ? "store" : "load",
         size,
         static_cast<unsigned long long>(address));
  }
  if (address < self->known_begin || address + size > self->known_end) {
    check_global_slow(self, address, size, is_write);
  }
  if (profile_is_on) profile_access(self, site, address, size, false);
}

inline u8* check_shared(
    Thread* self, u32 site, u32 address, u32 size, bool is_write, bool is_atomic = false) {
  count(self, site);
  if (address & (size - 1)) {
    fail(self,
         "misaligned shared %s of %u bytes at %#x",
         is_write ? "store" : "load",
         size,
         address);
  }
  const u32 offset = address - self->shared_base;
  if (profile_is_on) profile_access(self, site, offset, size, true);
  if (offset >= self->shared_size || size > self->shared_size - offset) {
    return other_shared(self, address, size);
  }
  if (race_check_is_on && !is_atomic) check_race(self, offset, size, is_write);
  if (is_write) mark_generic_write(self, offset, size);
  return self->shared + offset;
}

template <class T, int N>
void ldg(Thread* self, u32 site, u64 address, T* out) {
  check_global(self, site, address, sizeof(T) * N, false);
  std::memcpy(out, reinterpret_cast<const void*>(address), sizeof(T) * N);
}
template <class T, int N>
void stg(Thread* self, u32 site, u64 address, const T* values) {
  check_global(self, site, address, sizeof(T) * N, true);
  std::memcpy(reinterpret_cast<void*>(address), values, sizeof(T) * N);
}
template <class T, int N>
void lds(Thread* self, u32 site, u32 address, T* out) {
  std::memcpy(out, check_shared(self, site, address, sizeof(T) * N, false), sizeof(T) * N);
}
template <class T, int N>
void sts(Thread* self, u32 site, u32 address, const T* values) {
  std::memcpy(check_shared(self, site, address, sizeof(T) * N, true), values, sizeof(T) * N);
}
template <class T, int N>
void ld(Thread* self, u32 site, u64 address, T* out) {
  std::memcpy(out, generic(self, site, address, sizeof(T) * N, false), sizeof(T) * N);
}
template <class T, int N>
void st(Thread* self, u32 site, u64 address, const T* values) {
  std::memcpy(generic(self, site, address, sizeof(T) * N, true), values, sizeof(T) * N);
}

bool is_shared(Thread* self, u64 address);
bool is_local(Thread* self, u64 address);
bool is_global(Thread* self, u64 address);

/// Returns the old value. `type` as in PTX.
u64 atomic(Thread* self,
           u32 site,
           u8* place,
           const char* name,
           const char* type,
           u64 operand,
           u64 replacement);

// Warps.
/// mode: i(dx), b(fly), d(own), u(p)
u32 shfl(Thread* self, u32 site, char mode, u32 value, u32 b, u32 c, u32 mask, bool* predicate);
/// mode: a(ll), o (any), u(ni), b(allot)
u32 vote(Thread* self, u32 site, char mode, bool value, u32 mask);
u32 redux(Thread* self, u32 site, const char* name, u32 value, u32 mask, bool is_signed);
u32 match_any(Thread* self, u32 site, u64 value, u32 mask);
u32 match_all(Thread* self, u32 site, u64 value, u32 mask, bool* predicate);
u32 elect(Thread* self, u32 site, u32 mask, bool* predicate);
void bar_warp_sync(Thread* self, u32 site, u32 mask);
u32 activemask(Thread* self);

// Blocks and clusters.
void bar(Thread* self, u32 site, u32 id, u32 threads, bool only_arrives);
/// kind: c(ount), a(nd), o(r)
u32 bar_red(Thread* self, u32 site, u32 id, u32 threads, char kind, bool value);
void cluster_arrive(Thread* self, u32 site);
void cluster_wait(Thread* self, u32 site);
u32 mapa(Thread* self, u32 address, u32 rank);
u64 mapa_generic(Thread* self, u64 address, u32 rank);

enum class Special {
  cluster_rank,
  cluster_blocks,
  dynamic_shared,
  total_shared,
  sm,
  sm_count,
  cluster_ctaid,
  cluster_nctaid,
  clusterid,
  nclusterid,
};
u32 special(Thread* self, Special which, int axis = 0);
u64 cycle_counter(Thread* self);  // grows, and says nothing about time

// mbarriers.
void mbar_init(Thread* self, u32 site, u32 address, u32 arrivals);
void mbar_inval(Thread* self, u32 site, u32 address);
u64 mbar_arrive(Thread* self, u32 site, u32 address, u32 arrivals, u32 expected_bytes);
void mbar_expect_tx(Thread* self, u32 site, u32 address, u32 bytes);
/// Waits a while for the end of the phase; says whether it has ended.
bool mbar_test(Thread* self, u32 site, u32 address, u64 state_or_parity);

// Asynchronous copies. g2s: global to shared.
void cp_async(Thread* self, u32 site, u32 target, u64 source, u32 size, u32 source_size);
void cp_async_commit(Thread* self);
void cp_async_wait(Thread* self, u32 site, int pending);  // -1: all, committed or not
void cp_async_mbar_arrive(Thread* self, u32 site, u32 barrier, bool keeps_count);
void bulk_g2s(Thread* self, u32 site, u32 target, u64 source, u32 size, u32 barrier);
void bulk_s2g(Thread* self, u32 site, u64 target, u32 source, u32 size);
void bulk_commit(Thread* self);
void bulk_wait(Thread* self, u32 site, int pending);
void tma_g2s(Thread* self,
             u32 site,
             int rank,
             u32 target,
             u64 tensor_map,
             const i32* coordinates,
             u32 barrier,
             int multicast);
void tma_s2g(Thread* self, u32 site, int rank, u64 tensor_map, const i32* coordinates, u32 source);
void fence_proxy_async(Thread* self);

// Matrices. Element types: b = bf16, h = f16, t = tf32, 4 = e4m3, 5 = e5m2, s and u = 8-bit
// integers.
void ldmatrix(Thread* self, u32 site, int count, bool transposes, u32* out, u32 address);
void stmatrix(Thread* self, u32 site, int count, bool transposes, const u32* in, u32 address);
/// d = a b + c of 16 x 8 x depth; d and c are f32, or s32 for integers.
void mma(Thread* self,
         u32 site,
         int depth,
         char a_type,
         char b_type,
         u32* d,
         const u32* a,
         const u32* b,
         const u32* c);

struct WgmmaArgs {
  u32* d;              // [n / 2], f32
  const u32* a;        // registers, or null
  u64 a_desc, b_desc;  // matrix descriptors
  int n, depth;
  char a_type, b_type;
  bool accumulates;
  int a_scale, b_scale;  // 1 or -1
  int a_trans, b_trans;
};
void wgmma(Thread* self, u32 site, const WgmmaArgs& args);
void wgmma_commit(Thread* self);
void wgmma_wait(Thread* self, u32 site, int pending);
void wgmma_fence(Thread* self, u32 site);

}  // namespace cuda_emulator
