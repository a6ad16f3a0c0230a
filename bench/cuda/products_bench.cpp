#include <array>
#include <memory>

#include "cuda/kernels/matmul.h"
#include "fill.h"
#include "kernel_benches.h"
#include "shapes.h"

namespace dms::bench {
namespace {

using cuda::MatrixFormat;

const char* name_of(MatrixFormat format) {
  switch (format) {
    case MatrixFormat::bf16:
      return "bf16";
    case MatrixFormat::fp8:
      return "fp8";
    case MatrixFormat::int4:
      return "int4";
  }
  return "";
}

size_t data_bytes(MatrixFormat format, int64_t rows, int64_t columns) {
  const auto weights = static_cast<size_t>(rows * columns);
  if (format == MatrixFormat::bf16) return 2 * weights;
  return format == MatrixFormat::fp8 ? weights : weights / 2;
}

size_t scale_bytes(MatrixFormat format, int64_t rows, int64_t columns) {
  if (format == MatrixFormat::bf16) return 0;
  if (format == MatrixFormat::fp8) return 4 * static_cast<size_t>(rows);
  return 4 * static_cast<size_t>(rows * columns / 32);  // a scale and a minimum of 32 columns
}

/// A matrix with values that mean nothing, and room for its product.
class Product {
 public:
  Product(MatrixFormat format, int32_t matrix_rows, int32_t columns, int32_t rows, Bench& bench)
      : data_(data_bytes(format, matrix_rows, columns), "weights"),
        scales_(scale_bytes(format, matrix_rows, columns), "scales"),
        x_(2 * static_cast<size_t>(rows) * static_cast<size_t>(columns), "activations"),
        out_(4 * static_cast<size_t>(rows) * static_cast<size_t>(matrix_rows), "products") {
    const int64_t weights = int64_t{matrix_rows} * columns;
    cudaStream_t stream = bench.stream();
    params_.weights = {
        .format = format, .data = data_.data(), .rows = matrix_rows, .columns = columns};
    params_.x = x_.at<__nv_bfloat16>();
    params_.out_bf16 = out_.at<__nv_bfloat16>();
    params_.rows = rows;
    cuda::check(fill_bf16(x_.at<__nv_bfloat16>(), int64_t{rows} * columns, 1.0f, 3, stream), "x");
    if (format == MatrixFormat::bf16) {
      cuda::check(fill_bf16(data_.at<__nv_bfloat16>(), weights, 0.05f, 4, stream), "weights");
      return;
    }
    const auto bytes = static_cast<int64_t>(data_.bytes());
    cuda::check(fill_codes(data_.at<uint8_t>(), bytes, 4, stream), "weights");
    if (format == MatrixFormat::fp8) {
      params_.weights.scales = scales_.at<float>();
      cuda::check(fill_f32(scales_.at<float>(), matrix_rows, 0.05f, 5, stream), "scales");
    } else {
      const int64_t groups = weights / 32;
      params_.weights.group_scales = scales_.at<__half>();
      params_.weights.group_minima = scales_.at<__half>() + groups;
      // The bits of small bf16 numbers are those of halves between -2 and 2.
      cuda::check(fill_bf16(scales_.at<__nv_bfloat16>(), 2 * groups, 0.05f, 5, stream), "scales");
    }
  }

  /// The matrix once, what is multiplied and what comes out.
  Work work() const {
    const double rows = params_.rows;
    const double moved = 2 * rows * (params_.weights.rows + params_.weights.columns);
    return {.bytes = static_cast<double>(data_.bytes() + scales_.bytes()) + moved,
            .operations = 2 * rows * params_.weights.rows * params_.weights.columns};
  }
  const cuda::MatmulParams& params() const { return params_; }

 private:
  cuda::DeviceBuffer data_, scales_, x_, out_;
  cuda::MatmulParams params_{};
};

struct Way {
  const char* name;
  std::unique_ptr<cuda::Matmul> matmul;
};

std::vector<Way> ways(int32_t max_rows, int32_t max_columns) {
  std::vector<Way> result;
  if (auto library = cuda::make_cublaslt_matmul(max_rows, max_columns)) {
    result.push_back({"cublaslt", std::move(library)});
  }
  result.push_back({"own", cuda::make_simple_matmul(max_rows, max_columns)});
  return result;
}

struct Matrix {
  const char* name;
  int32_t rows;
  int32_t columns;
};

std::array<Matrix, 5> matrices(const BenchShape& shape) {
  return {Matrix{"qkv", shape.qkv_width(), shape.hidden},
          Matrix{"o", shape.hidden, shape.q_width()},
          Matrix{"gate_up", 2 * shape.ffn, shape.hidden},
          Matrix{"down", shape.hidden, shape.ffn},
          Matrix{"head", shape.vocab, shape.hidden}};
}

void bench_matrix(Bench& bench, const BenchShape& shape, const Matrix& matrix, int32_t rows) {
  for (const MatrixFormat format : {MatrixFormat::bf16, MatrixFormat::fp8, MatrixFormat::int4}) {
    const Product product(format, matrix.rows, matrix.columns, rows, bench);
    for (const Way& way : ways(rows, std::max(matrix.rows, matrix.columns))) {
      bench.run({{"bench", "product"},
                 {"shape", shape.name},
                 {"matrix", matrix.name},
                 {"format", name_of(format)},
                 {"way", way.name},
                 {"rows", rows}},
                product.work(),
                [&](cudaStream_t stream) { return way.matmul->run(product.params(), stream); });
    }
  }
}

}  // namespace

void bench_probes(Bench& bench) {
  const int64_t bytes = bench.settings().tiny ? 1 << 16 : int64_t{2} << 30;
  if (bench.wants("copy")) {
    const cuda::DeviceBuffer from(static_cast<size_t>(bytes), "a copy");
    const cuda::DeviceBuffer to(static_cast<size_t>(bytes), "a copy");
    const cuda::DeviceBuffer sums(4 * kMostBlocks, "sums");
    cuda::check(cudaMemset(from.data(), 1, from.bytes()), "clearing");
    const Work both{.bytes = 2.0 * static_cast<double>(bytes)};
    bench.run({{"bench", "copy"}}, both, [&](cudaStream_t stream) {
      return cudaMemcpyAsync(to.data(), from.data(), to.bytes(), cudaMemcpyDefault, stream);
    });
    bench.run({{"bench", "copy_kernel"}}, both, [&](cudaStream_t stream) {
      return copy_bytes(to.data(), from.data(), bytes, stream);
    });
    const Work once{.bytes = static_cast<double>(bytes)};
    bench.run({{"bench", "read_kernel"}}, once, [&](cudaStream_t stream) {
      return read_bytes(sums.at<uint32_t>(), from.data(), bytes, stream);
    });
  }
  if (!bench.wants("gemm_probe")) return;
  const int32_t size = bench.settings().tiny ? 64 : 8192;
  const Product product(MatrixFormat::bf16, size, size, size, bench);
  const Way way = std::move(ways(size, size).front());
  bench.run({{"bench", "gemm_probe"}, {"way", way.name}, {"size", size}},
            product.work(),
            [&](cudaStream_t stream) { return way.matmul->run(product.params(), stream); });
}

void bench_products(Bench& bench) {
  for (const BenchShape& shape : bench_shapes(bench.settings().tiny)) {
    for (const Matrix& matrix : matrices(shape)) {
      for (const int32_t rows : {1, 8}) {
        if (bench.wants("product")) bench_matrix(bench, shape, matrix, rows);
      }
    }
  }
}

}  // namespace dms::bench
