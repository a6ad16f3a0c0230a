#pragma once
// The products of Llama-3.2-1B, and how a product's speed is reported: as GFLOP/s (GOP/s of int8),
// as GB/s of weights, and as the share of both bounds measured in the same run.

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "kernels/probe.h"

namespace dms::bench {

constexpr int kThreads = 2;
/// Weights are cycled through, so that none is found in a cache.
constexpr int64_t kWeightBytes = int64_t{256} << 20;

struct GemmShape {
  const char* name;
  int64_t outputs;
  int64_t columns;
  bool gated;

  int64_t copies(int64_t bytes) const { return std::max<int64_t>(1, kWeightBytes / bytes); }
};

inline const std::vector<GemmShape>& gemm_shapes() {
  static const std::vector<GemmShape> shapes{{"qkv", 3072, 2048, false},
                                             {"attention_output", 2048, 2048, false},
                                             {"mlp_in_gated", 16384, 2048, true},
                                             {"mlp_out", 2048, 8192, false},
                                             {"head", 128256, 2048, false}};
  return shapes;
}

inline std::vector<int64_t> row_counts(const GemmShape& shape) {
  if (shape.outputs > 100000) return {1, 8};
  return {1, 8, 32, 128, 512};
}

inline const kernels::ProbeResult& bound() {
  static const kernels::ProbeResult result = kernels::probe(kThreads);
  return result;
}

/// What one product moves and is bounded by.
struct ProductCost {
  int64_t weight_bytes;
  double peak_gflop_s;
};

inline void report(benchmark::State& state,
                   const GemmShape& shape,
                   int64_t rows,
                   const ProductCost& cost) {
  const double flop = 2.0 * static_cast<double>(rows * shape.outputs * shape.columns);
  const auto bytes = static_cast<double>(cost.weight_bytes);
  const auto products = static_cast<double>(state.iterations());
  const auto rate = [&](double amount) {
    return benchmark::Counter(amount * products, benchmark::Counter::kIsRate);
  };
  state.counters["GFLOP/s"] = rate(flop * 1e-9);
  state.counters["GB/s"] = rate(bytes * 1e-9);
  state.counters["of_flops"] = rate(flop * 1e-9 / std::max(cost.peak_gflop_s, 1e-9));
  state.counters["of_bandwidth"] = rate(bytes * 1e-9 / bound().read_gb_s);
}

inline std::string bench_name(const std::string& who, const GemmShape& shape, int64_t rows) {
  return who + "/" + shape.name + "/rows:" + std::to_string(rows);
}

}  // namespace dms::bench
