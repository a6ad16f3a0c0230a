// The same products by oneDNN: weights in the layout that it asks for, activations already bf16,
// output float32 and no gate, so that the comparison is in its favour.

#include <oneapi/dnnl/dnnl.hpp>

#include "gemm_shapes.h"

namespace dms::bench {
namespace {

using dnnl::memory;
using Type = memory::data_type;

struct Product {
  Product(const dnnl::engine& engine, const GemmShape& shape, int64_t rows)
      : x({{rows, shape.columns}, Type::bf16, memory::format_tag::ab}),
        out({{rows, shape.outputs}, Type::f32, memory::format_tag::ab}),
        desc(dnnl::matmul::desc(
                 x, {{shape.columns, shape.outputs}, Type::bf16, memory::format_tag::any}, out),
             engine),
        primitive(desc) {}

  memory::desc x;
  memory::desc out;
  dnnl::matmul::primitive_desc desc;
  dnnl::matmul primitive;
};

void run(benchmark::State& state, const GemmShape& shape, int64_t rows) {
  dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  dnnl::stream stream(engine);
  const Product product(engine, shape, rows);
  memory x(product.x, engine);
  memory out(product.out, engine);
  std::vector<memory> weights;
  const int64_t bytes = shape.outputs * shape.columns * 2;
  for (int64_t i = 0; i < shape.copies(bytes); ++i) {
    memory& w = weights.emplace_back(product.desc.weights_desc(), engine);
    auto* values = static_cast<uint16_t*>(w.get_data_handle());
    std::fill_n(values, w.get_desc().get_size() / 2, uint16_t{0x3c00});
  }
  auto* activations = static_cast<uint16_t*>(x.get_data_handle());
  std::fill_n(activations, rows * shape.columns, uint16_t{0x3f00});
  size_t next = 0;
  for (auto _ : state) {
    product.primitive.execute(
        stream, {{DNNL_ARG_SRC, x}, {DNNL_ARG_WEIGHTS, weights[next]}, {DNNL_ARG_DST, out}});
    stream.wait();
    next = (next + 1) % weights.size();
  }
  report(state, shape, rows, {bytes, bound().bf16_gflop_s});
}

[[maybe_unused]] const bool kRegistered = [] {
  for (const GemmShape& shape : gemm_shapes()) {
    for (const int64_t rows : row_counts(shape)) {
      benchmark::RegisterBenchmark(
          bench_name("onednn", shape, rows).c_str(),
          [&shape, rows](benchmark::State& state) { run(state, shape, rows); })
          ->UseRealTime()
          ->Unit(benchmark::kMicrosecond);
    }
  }
  return true;
}();

}  // namespace
}  // namespace dms::bench
