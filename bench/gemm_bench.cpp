// Products by weights of each format, wide (prefill) and thin (decode), against what the machine
// allows.

#include <random>

#include "base/parallel.h"
#include "base/threads.h"
#include "gemm_shapes.h"
#include "kernels/matmul.h"
#include "kernels/quantise.h"

namespace dms::bench {
namespace {

using kernels::Compute;
using kernels::Epilogue;
using kernels::kPanelRows;
using kernels::PackedMatrix;
using kernels::WeightFormat;

PackedMatrix random_weights(const GemmShape& shape, WeightFormat format) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0.0f, 0.02f);
  std::vector<float> rows(static_cast<size_t>(kPanelRows * shape.columns));
  for (float& value : rows) value = normal(random);
  PackedMatrix matrix(format, shape.outputs, shape.columns);
  const bool quantises = is_quantised(format);
  const kernels::QuantisedRowsBuffer codes =
      quantises ? kernels::quantise_rows(format, {}, shape.columns, rows)
                : kernels::QuantisedRowsBuffer{};
  parallel_for(matrix.panels(), 1, [&](int64_t panel) {
    if (quantises) {
      matrix.set_panel_rows(panel, 0, codes.view());
    } else {
      matrix.set_panel_rows(panel, 0, kPanelRows, rows);
    }
  });
  return matrix;
}

void run(benchmark::State& state, const GemmShape& shape, WeightFormat format, int64_t rows) {
  std::vector<PackedMatrix> weights;
  weights.push_back(random_weights(shape, format));
  const int64_t bytes = weights.front().bytes();
  while (std::ssize(weights) < shape.copies(bytes)) {
    weights.push_back(random_weights(shape, format));
  }
  const bool quantises = is_quantised(format);
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
                     .compute = quantises ? Compute::int8 : Compute::bf16,
                     .epilogue = shape.gated ? Epilogue::silu_gate : Epilogue::store});
    next = (next + 1) % weights.size();
  }
  report(state,
         shape,
         rows,
         {.weight_bytes = bytes,
          .peak_gflop_s = quantises ? bound().int8_gop_s : bound().bf16_gflop_s});
}

}  // namespace

void register_products() {
  for (const WeightFormat format : {WeightFormat::bf16, WeightFormat::int8, WeightFormat::int4}) {
    for (const GemmShape& shape : gemm_shapes()) {
      for (const int64_t rows : row_counts(shape)) {
        const std::string who = "dms-" + std::string(weight_format_name(format));
        benchmark::RegisterBenchmark(
            bench_name(who, shape, rows).c_str(),
            [&shape, format, rows](benchmark::State& state) { run(state, shape, format, rows); })
            ->UseRealTime()
            ->Unit(benchmark::kMicrosecond);
      }
    }
  }
}

}  // namespace dms::bench

int main(int argc, char** argv) {
  dms::use_threads(dms::bench::kThreads);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  const auto& bound = dms::bench::bound();
  benchmark::AddCustomContext("probe read GB/s", std::to_string(bound.read_gb_s));
  benchmark::AddCustomContext("probe bf16 GFLOP/s", std::to_string(bound.bf16_gflop_s));
  benchmark::AddCustomContext("probe int8 GOP/s", std::to_string(bound.int8_gop_s));
  dms::bench::register_products();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
