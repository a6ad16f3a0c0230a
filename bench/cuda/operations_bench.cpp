#include <algorithm>
#include <numeric>
#include <random>

#include "cuda/kernels/ragged.h"
#include "fill.h"
#include "kernel_benches.h"
#include "prompt.h"
#include "shapes.h"

namespace dms::bench {
namespace {

/// 4 sequences of 8 heads, rows of 128 bf16 numbers; bench/cuda/predictions.py reckons with them.
struct Sizes {
  int64_t lists = 32;
  int64_t rows = 8192;
  int64_t row_bytes = 256;
  int32_t prompt = 8192;
  int32_t chunk = 512;  // of the loop that the single pass replaces

  int64_t bytes() const { return lists * rows * row_bytes; }
};

Sizes sizes_of(bool tiny) {
  if (tiny) return {.lists = 3, .rows = 70, .row_bytes = 32, .prompt = 96, .chunk = 32};
  return {};
}

template <class T>
cuda::DeviceBuffer on_device(const std::vector<T>& values) {
  cuda::DeviceBuffer buffer(values.size() * sizeof(T), "an operation's arguments");
  cuda::check(cudaMemcpy(buffer.data(), values.data(), buffer.bytes(), cudaMemcpyDefault),
              "copying arguments");
  return buffer;
}

/// Rows, masks and lengths that all operations share.
class Arguments {
 public:
  Arguments(const Sizes& sizes, Bench& bench)
      : sizes_(sizes),
        x_(static_cast<size_t>(sizes.bytes()), "rows"),
        out_(static_cast<size_t>(sizes.bytes()), "rows"),
        wrong_(256, "a flag") {
    std::mt19937 draw(31);
    lengths.resize(static_cast<size_t>(sizes.lists));
    for (int64_t& length : lengths) {
      length = std::uniform_int_distribution<int64_t>(1, sizes.rows)(draw);
    }
    index.resize(static_cast<size_t>(sizes.rows));
    std::iota(index.begin(), index.end(), 0);
    std::shuffle(index.begin(), index.end(), draw);
    std::vector<uint8_t> mask(static_cast<size_t>(sizes.lists * sizes.rows));
    std::bernoulli_distribution kept(kKeep);
    for (uint8_t& one : mask) one = kept(draw) ? 1 : 0;
    for (int64_t list = 0; list < sizes.lists; ++list) {
      const auto begin = mask.begin() + list * sizes.rows;
      counts.push_back(std::accumulate(begin, begin + sizes.rows, int64_t{0}));
    }
    lengths_ = on_device(lengths);
    index_ = on_device(index);
    mask_ = on_device(mask);
    const auto workspace = static_cast<size_t>(cuda::ragged_workspace_bytes(rows(0, sizes.lists)));
    workspace_ = cuda::DeviceBuffer(std::max<size_t>(workspace, 1), "an operation's workspace");
    begins_ = cuda::DeviceBuffer(8 * static_cast<size_t>(sizes.lists + 1), "begins");
    cuda::check(fill_codes(x_.at<uint8_t>(), sizes.bytes(), 33, bench.stream()), "making rows");
  }

  cuda::RaggedRowsView rows(int64_t first, int64_t lists) const {
    return {x_.data() + first * list_bytes(), lists, sizes_.rows, sizes_.row_bytes};
  }
  int64_t list_bytes() const { return sizes_.rows * sizes_.row_bytes; }
  std::byte* out(int64_t row) const { return out_.data() + row * sizes_.row_bytes; }
  int64_t widest() const { return *std::max_element(counts.begin(), counts.end()); }

  cudaError_t left_pad(int64_t first, int64_t lists, cudaStream_t stream) const {
    return cuda::left_pad_2d({.x = rows(first, lists),
                              .lengths = lengths_.at<int64_t>() + first,
                              .width = sizes_.rows,
                              .out = out(first * sizes_.rows),
                              .wrong = wrong_.at<int32_t>()},
                             stream);
  }
  cudaError_t scatter(cudaStream_t stream) const {
    return cuda::scatter_by_index({.x = rows(0, 1),
                                   .index = index_.at<int64_t>(),
                                   .out_rows = sizes_.rows,
                                   .out = out(0),
                                   .wrong = wrong_.at<int32_t>()},
                                  stream);
  }
  /// A copy for each row.
  cudaError_t scatter_rows(cudaStream_t stream) const {
    for (int64_t row = 0; row < sizes_.rows; ++row) {
      const cudaError_t copied = cudaMemcpyAsync(out(index[static_cast<size_t>(row)]),
                                                 x_.data() + row * sizes_.row_bytes,
                                                 static_cast<size_t>(sizes_.row_bytes),
                                                 cudaMemcpyDefault,
                                                 stream);
      if (copied != cudaSuccess) return copied;
    }
    return cudaSuccess;
  }
  cudaError_t gather(int64_t first, int64_t lists, cudaStream_t stream) const {
    return cuda::bool_gather_left_pad({.x = rows(first, lists),
                                       .mask = mask_.at<uint8_t>() + first * sizes_.rows,
                                       .width = widest(),
                                       .out = out(first * widest()),
                                       .wrong = wrong_.at<int32_t>(),
                                       .workspace = workspace_.data()},
                                      stream);
  }
  cudaError_t compact(int64_t first, int64_t lists, cudaStream_t stream) const {
    const int64_t before = std::accumulate(counts.begin(), counts.begin() + first, int64_t{0});
    return cuda::compact_by_bool({.x = rows(first, lists),
                                  .mask = mask_.at<uint8_t>() + first * sizes_.rows,
                                  .out = out(before),
                                  .begins = begins_.at<int64_t>(),
                                  .workspace = workspace_.data()},
                                 stream);
  }

  std::vector<int64_t> lengths;  // [lists]
  std::vector<int64_t> index;    // [rows]
  std::vector<int64_t> counts;   // [lists] rows that the mask keeps

 private:
  Sizes sizes_;
  cuda::DeviceBuffer x_, out_, wrong_, lengths_, index_, mask_, workspace_, begins_;
};

void compare(
    Bench& bench, const char* name, const Work& work, const Launch& one, const Launch& loop) {
  bench.run({{"bench", name}, {"way", "kernel"}}, work, one);
  bench.run({{"bench", name}, {"way", "loop"}}, work, loop);
}

/// One call a list instead of one for all.
using ListCall = cudaError_t (Arguments::*)(int64_t first, int64_t lists, cudaStream_t) const;

void compare_lists(
    Bench& bench, const char* name, const Work& work, const Arguments& arguments, ListCall call) {
  const auto lists = static_cast<int64_t>(arguments.counts.size());
  compare(
      bench,
      name,
      work,
      [&](cudaStream_t stream) { return (arguments.*call)(0, lists, stream); },
      [&](cudaStream_t stream) {
        for (int64_t list = 0; list < lists; ++list) {
          const cudaError_t launched = (arguments.*call)(list, 1, stream);
          if (launched != cudaSuccess) return launched;
        }
        return cudaSuccess;
      });
}

void bench_ragged(Bench& bench, const Sizes& sizes) {
  const Arguments arguments(sizes, bench);
  const auto row = static_cast<double>(sizes.row_bytes);
  const auto rows = static_cast<double>(sizes.rows);
  const auto all = rows * static_cast<double>(sizes.lists);
  const auto filled = static_cast<double>(
      std::accumulate(arguments.lengths.begin(), arguments.lengths.end(), int64_t{0}));
  const auto kept = static_cast<double>(
      std::accumulate(arguments.counts.begin(), arguments.counts.end(), int64_t{0}));
  compare_lists(
      bench, "left_pad_2d", {.bytes = row * (filled + all)}, arguments, &Arguments::left_pad);
  compare(
      bench,
      "scatter_by_index",
      {.bytes = 2 * row * rows + 8 * rows},
      [&](cudaStream_t stream) { return arguments.scatter(stream); },
      [&](cudaStream_t stream) { return arguments.scatter_rows(stream); });
  compare_lists(bench,
                "bool_gather_left_pad",
                {.bytes = 2 * row * kept + all},
                arguments,
                &Arguments::gather);
  compare_lists(
      bench, "compact_by_bool", {.bytes = 2 * row * kept + all}, arguments, &Arguments::compact);
}

/// Beside the same prompt in chunks, each with its own attention and sealing.
void bench_single_pass(Bench& bench, const BenchShape& shape, const Sizes& sizes) {
  const int64_t tokens = sizes.prompt;
  const auto q_bytes = 2 * static_cast<size_t>(tokens * shape.q_width());
  const auto kv_bytes = 2 * static_cast<size_t>(tokens * shape.kv_width());
  const cuda::DeviceBuffer queries(q_bytes, "queries");
  const cuda::DeviceBuffer out(q_bytes, "attention's output");
  const cuda::DeviceBuffer keys(kv_bytes, "keys");
  const cuda::DeviceBuffer values(kv_bytes, "values");
  for (const cuda::DeviceBuffer* one : {&queries, &keys, &values}) {
    const auto count = static_cast<int64_t>(one->bytes() / 2);
    cuda::check(fill_bf16(one->at<__nv_bfloat16>(), count, 1.0f, 35, bench.stream()), "a prompt");
  }
  std::vector<uint8_t> gone(static_cast<size_t>(shape.kv_heads * tokens));
  std::mt19937 draw(37);
  std::bernoulli_distribution evicted(1 - kKeep);
  for (uint8_t& one : gone) one = evicted(draw) ? 1 : 0;
  const cuda::DeviceBuffer fates = on_device(gone);
  cuda::FusedPrefillParams params{.tokens = sizes.prompt,
                                  .q_heads = shape.q_heads,
                                  .kv_heads = shape.kv_heads,
                                  .head_dim = shape.head_dim,
                                  .queries = queries.at<__nv_bfloat16>(),
                                  .keys = keys.at<__nv_bfloat16>(),
                                  .values = values.at<__nv_bfloat16>(),
                                  .evicted = fates.at<uint8_t>(),
                                  .window = shape.window,
                                  .out = out.at<__nv_bfloat16>()};
  const cuda::DeviceBuffer workspace(
      static_cast<size_t>(cuda::fused_prefill_workspace_bytes(params)), "a prompt's workspace");
  params.workspace = workspace.data();
  bench.run({{"bench", "dms_fused_prefill"}, {"way", "kernel"}}, {}, [&](cudaStream_t stream) {
    return cuda::dms_fused_prefill(params, stream);
  });
  const Prompt prompt(shape, {sizes.prompt, sizes.chunk, kKeep, cuda::KvFormat::bf16}, bench);
  bench.run(
      {{"bench", "dms_fused_prefill"}, {"way", "loop"}, {"chunk", sizes.chunk}},
      {},
      [&](cudaStream_t stream) { return prompt.attend_all(stream); },
      [&](cudaStream_t stream) { return prompt.restore(stream); });
}

}  // namespace

void bench_operations(Bench& bench) {
  if (!bench.wants("operations")) return;
  const Sizes sizes = sizes_of(bench.settings().tiny);
  bench_ragged(bench, sizes);
  bench_single_pass(bench, bench_shapes(bench.settings().tiny).back(), sizes);
}

}  // namespace dms::bench
