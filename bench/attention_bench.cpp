// Attention over pages: a prefill tile against the arithmetic peak, decode against streaming reads.
// Pages lie scattered, as a pool hands them out. `share` is of the probe's figure in the same run;
// `tokens` are read by one KV head in a second, for comparing formats.

#include <algorithm>
#include <cstring>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "base/aligned_buffer.h"
#include "kernels/attention.h"
#include "kernels/isa.h"
#include "kernels/probe.h"

namespace dms::kernels {
namespace {

constexpr int64_t kGroup = 4;
constexpr int64_t kDecodeBytes = int64_t{1} << 29;
constexpr int kDecodeThreads = 2;

/// Pages of the same random tokens in shuffled order.
struct Pages {
  Pages(const KvPageLayout& page_layout, int64_t count)
      : layout(page_layout), buffer(count * page_layout.bytes()) {
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    std::vector<float> tokens(static_cast<size_t>(kPageTokens * layout.head_dim));
    for (float& x : tokens) x = normal(random);
    const auto bytes = static_cast<size_t>(layout.bytes());
    store_tokens(
        layout,
        {buffer.data(), bytes},
        0,
        {.keys = tokens, .values = tokens, .token_stride = layout.head_dim, .count = kPageTokens});
    for (int64_t i = 0; i < count; ++i) {
      std::byte* page = buffer.data() + i * layout.bytes();
      if (i > 0) std::memcpy(page, buffer.data(), bytes);
      refs.push_back({.data = page});
    }
    std::shuffle(refs.begin(), refs.end(), random);
  }

  KvPageLayout layout;
  AlignedBuffer buffer;
  std::vector<PageRef> refs;
};

/// Queries of a tile and room for its result.
struct Tile {
  Tile(int64_t head_dim, int64_t tile_positions)
      : positions(tile_positions),
        q(static_cast<size_t>(positions * kGroup * head_dim), 0.1f),
        max(static_cast<size_t>(positions * kGroup)),
        sum(max),
        output(q) {}

  void attend_to(const KvPageLayout& layout, std::span<const PageRef> pages) {
    attend({.layout = layout,
            .positions = positions,
            .group = kGroup,
            .scale = 0.125f,
            .q = q,
            .pages = pages},
           {.max = max, .sum = sum, .output = output});
    benchmark::DoNotOptimize(output.data());
  }

  int64_t positions;
  std::vector<float> q;
  std::vector<float> max;
  std::vector<float> sum;
  std::vector<float> output;
};

const ProbeResult& machine(int64_t threads) {
  static const ProbeResult one = probe(1);
  static const ProbeResult several = probe(kDecodeThreads);
  return threads == 1 ? one : several;
}

void prefill(benchmark::State& state, KvFormat format, int64_t head_dim, bool is_masked) {
  constexpr int64_t kPages = 128;
  Pages pages({.format = format, .head_dim = head_dim}, kPages);
  std::mt19937 random(2);
  std::vector<uint32_t> masks(kPages * kMaxTilePositions);
  for (uint32_t& mask : masks) mask = static_cast<uint32_t>(random());
  for (size_t i = 0; is_masked && i < pages.refs.size(); ++i) {
    pages.refs[i].masks = masks.data() + i * kMaxTilePositions;
  }
  Tile tile(head_dim, kMaxTilePositions);
  for (auto step : state) tile.attend_to(pages.layout, pages.refs);
  const double flops =
      4.0 * static_cast<double>(kMaxTilePositions * kGroup * kPages * kPageTokens * head_dim);
  const double peak = format != KvFormat::f32 && machine(1).bf16_gflop_s > 0
                          ? machine(1).bf16_gflop_s
                          : machine(1).f32_gflop_s;
  const double work = flops * static_cast<double>(state.iterations()) / 1e9;
  state.counters["GFLOP/s"] = benchmark::Counter(work, benchmark::Counter::kIsRate);
  state.counters["share"] = benchmark::Counter(work / peak, benchmark::Counter::kIsRate);
}

void decode(benchmark::State& state, const Pages& pages) {
  const size_t part = pages.refs.size() / static_cast<size_t>(state.threads());
  const auto mine =
      std::span(pages.refs).subspan(part * static_cast<size_t>(state.thread_index()), part);
  Tile tile(pages.layout.head_dim, 1);
  for (auto step : state) tile.attend_to(pages.layout, mine);
  const double gigabytes = static_cast<double>(part) * static_cast<double>(pages.layout.bytes()) *
                           static_cast<double>(state.iterations()) / 1e9;
  const auto tokens =
      static_cast<double>(static_cast<int64_t>(part) * kPageTokens * state.iterations());
  state.counters["GB/s"] = benchmark::Counter(gigabytes, benchmark::Counter::kIsRate);
  state.counters["tokens"] = benchmark::Counter(tokens, benchmark::Counter::kIsRate);
  state.counters["share"] = benchmark::Counter(gigabytes / machine(state.threads()).read_gb_s,
                                               benchmark::Counter::kIsRate);
}

/// The pages of the shape that was asked for last: one shape at a time fits in memory comfortably.
const Pages& decode_pages(const KvPageLayout& layout) {
  static std::mutex mutex;
  static std::unique_ptr<Pages> pages;
  const std::lock_guard lock(mutex);
  if (pages == nullptr || pages->layout != layout) {
    pages = std::make_unique<Pages>(layout, kDecodeBytes / layout.bytes());
  }
  return *pages;
}

void register_shape(KvFormat format, int64_t head_dim) {
  const std::string shape = std::string(kv_format_name(format)) + "/" + std::to_string(head_dim);
  for (const bool is_masked : {false, true}) {
    const std::string name = "prefill/" + shape + (is_masked ? "/masked" : "");
    benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
      prefill(state, format, head_dim, is_masked);
    });
  }
  for (const int threads : {1, kDecodeThreads}) {
    const std::string name = "decode/" + shape;
    const KvPageLayout layout{.format = format, .head_dim = head_dim};
    benchmark::RegisterBenchmark(
        name.c_str(), [layout](benchmark::State& state) { decode(state, decode_pages(layout)); })
        ->Threads(threads)
        ->UseRealTime();
  }
}

}  // namespace
}  // namespace dms::kernels

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  for (const dms::kernels::KvFormat format : dms::kernels::kv_formats()) {
    for (const int64_t head_dim : {64, 128}) dms::kernels::register_shape(format, head_dim);
  }
  benchmark::AddCustomContext("isa",
                              std::string(dms::kernels::isa_name(dms::kernels::active_isa())));
  benchmark::RunSpecifiedBenchmarks();
}
