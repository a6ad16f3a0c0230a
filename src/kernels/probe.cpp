#include "kernels/probe.h"

#include <algorithm>
#include <atomic>
#include <chrono>

#include "base/aligned_buffer.h"
#include "base/check.h"
#include "base/parallel.h"
#include "base/threads.h"
#include "kernels/kernel_table.h"

namespace dms::kernels {
namespace {

constexpr int64_t kReadBytes = int64_t{1} << 30;
constexpr int kRepeats = 9;
constexpr int64_t kRounds = int64_t{1} << 20;

/// Seconds of the fastest of several runs of work(thread) on all threads.
template <class Work>
double best_seconds(int64_t threads, Work work) {
  std::atomic<float> sink = 0.0f;  // keeps the compiler from dropping the work
  double best = 0;
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    const auto start = std::chrono::steady_clock::now();
    parallel_for(threads, 1, [&](int64_t thread) { sink = sink + work(thread); });
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    best = repeat == 0 ? seconds.count() : std::min(best, seconds.count());
  }
  return best;
}

double read_gb_s(const ProbeTable& table, int64_t threads) {
  constexpr int64_t kUnit = 4096;
  const int64_t slice = kReadBytes / threads / kUnit * kUnit;
  AlignedBuffer buffer(slice * threads);
  std::ranges::fill(buffer.as<float>(), 1.0f);  // untouched pages would all be one zero page
  const double seconds = best_seconds(
      threads, [&](int64_t thread) { return table.read(buffer.data() + thread * slice, slice); });
  return static_cast<double>(slice * threads) / seconds * 1e-9;
}

double gflop_s(float (*run)(int64_t), int64_t flop_per_round, int64_t threads) {
  if (run == nullptr) return 0;
  const double seconds = best_seconds(threads, [&](int64_t) { return run(kRounds); });
  return static_cast<double>(kRounds * flop_per_round * threads) / seconds * 1e-9;
}

}  // namespace

ProbeResult probe(int64_t threads) {
  ensure(threads > 0, "a probe without threads");
  const ScopedThreads scoped(threads);
  const ProbeTable& table = probe_table();
  return {.read_gb_s = read_gb_s(table, threads),
          .f32_gflop_s = gflop_s(table.run_f32, table.f32_flop_per_round, threads),
          .bf16_gflop_s = gflop_s(table.run_bf16, table.bf16_flop_per_round, threads),
          .int8_gop_s = gflop_s(table.run_int8, table.int8_op_per_round, threads)};
}

}  // namespace dms::kernels
