// Products by bf16 weights, wide (prefill) and thin (decode), against what the machine allows.

#include <random>

#include <omp.h>

#include "gemm_shapes.h"
#include "kernels/matmul.h"

namespace dms::bench {
namespace {

using kernels::Compute;
using kernels::Epilogue;
using kernels::kPanelRows;
using kernels::PackedMatrix;
using kernels::WeightFormat;

PackedMatrix random_weights(const GemmShape& shape) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0.0f, 0.02f);
  std::vector<float> rows(static_cast<size_t>(kPanelRows * shape.columns));
  for (float& value : rows) value = normal(random);
  PackedMatrix matrix(WeightFormat::bf16, shape.outputs, shape.columns);
#pragma omp parallel for
  for (int64_t panel = 0; panel < matrix.panels(); ++panel) {
    matrix.set_panel_rows(panel, 0, kPanelRows, rows);
  }
  return matrix;
}

void run(benchmark::State& state, const GemmShape& shape, int64_t rows) {
  std::vector<PackedMatrix> weights;
  for (int64_t i = 0; i < shape.copies(); ++i) weights.push_back(random_weights(shape));
  const int64_t out_columns = shape.gated ? shape.outputs / 2 : shape.outputs;
  const std::vector<float> x(static_cast<size_t>(rows * shape.columns), 0.5f);
  std::vector<float> out(static_cast<size_t>(rows * out_columns));
  size_t next = 0;
  for (auto _ : state) {
    kernels::matmul({.weights = weights[next],
                     .x = x,
                     .out = out,
                     .rows = rows,
                     .out_columns = out_columns,
                     .compute = Compute::bf16,
                     .epilogue = shape.gated ? Epilogue::silu_gate : Epilogue::store});
    next = (next + 1) % weights.size();
  }
  report(state, shape, rows);
}

}  // namespace

void register_products() {
  for (const GemmShape& shape : gemm_shapes()) {
    for (const int64_t rows : row_counts(shape)) {
      benchmark::RegisterBenchmark(
          bench_name("dms", shape, rows).c_str(),
          [&shape, rows](benchmark::State& state) { run(state, shape, rows); })
          ->UseRealTime()
          ->Unit(benchmark::kMicrosecond);
    }
  }
}

}  // namespace dms::bench

int main(int argc, char** argv) {
  omp_set_num_threads(dms::bench::kThreads);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  const auto& bound = dms::bench::bound();
  benchmark::AddCustomContext("probe read GB/s", std::to_string(bound.read_gb_s));
  benchmark::AddCustomContext("probe bf16 GFLOP/s", std::to_string(bound.bf16_gflop_s));
  dms::bench::register_products();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
