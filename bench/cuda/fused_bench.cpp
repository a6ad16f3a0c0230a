#include "bench_cache.h"
#include "cuda/kernels/activation.h"
#include "cuda/kernels/decisions.h"
#include "cuda/kernels/norm.h"
#include "cuda/kernels/qkv.h"
#include "cuda/kernels/sampling.h"
#include "cuda/kernels/seal.h"
#include "fill.h"
#include "kernel_benches.h"
#include "shapes.h"

namespace dms::bench {
namespace {

/// Numbers made on the device.
cuda::DeviceBuffer floats(int64_t count, float scale, Bench& bench) {
  cuda::DeviceBuffer buffer(4 * static_cast<size_t>(count), "numbers");
  cuda::check(fill_f32(buffer.at<float>(), count, scale, 21, bench.stream()), "making numbers");
  return buffer;
}

cuda::DeviceBuffer halves(int64_t count, float scale, Bench& bench) {
  cuda::DeviceBuffer buffer(2 * static_cast<size_t>(count), "numbers");
  cuda::check(fill_bf16(buffer.at<__nv_bfloat16>(), count, scale, 22, bench.stream()),
              "making numbers");
  return buffer;
}

OrderedJson fields_of(const char* name, const BenchShape& shape, int32_t rows) {
  return {{"bench", name}, {"shape", shape.name}, {"rows", rows}};
}

void bench_norm(Bench& bench, const BenchShape& shape, int32_t rows) {
  const int64_t numbers = int64_t{rows} * shape.hidden;
  const cuda::DeviceBuffer x = floats(numbers, 1.0f, bench);
  const cuda::DeviceBuffer scale = floats(shape.hidden, 1.0f, bench);
  const cuda::DeviceBuffer out = halves(numbers, 1.0f, bench);
  const cuda::NormParams params{.x = x.at<float>(),
                                .scale = scale.at<float>(),
                                .out = out.at<__nv_bfloat16>(),
                                .rows = rows,
                                .width = shape.hidden};
  bench.run(fields_of("norm", shape, rows),
            {.bytes = 6.0 * static_cast<double>(numbers) + 4.0 * shape.hidden},
            [&](cudaStream_t stream) { return cuda::norm(params, stream); });
}

void bench_decisions(Bench& bench, const BenchShape& shape, int32_t rows) {
  const int64_t numbers = int64_t{rows} * shape.hidden;
  const cuda::DeviceBuffer x = floats(numbers, 1.0f, bench);
  const cuda::DeviceBuffer weights = floats(int64_t{shape.kv_heads} * shape.hidden, 1.0f, bench);
  const cuda::DeviceBuffer logits = floats(int64_t{rows} * shape.kv_heads, 1.0f, bench);
  const cuda::DecisionLogitParams params{.x = x.at<float>(),
                                         .weights = weights.at<float>(),
                                         .logits = logits.at<float>(),
                                         .stride = shape.kv_heads,
                                         .rows = rows,
                                         .outputs = shape.kv_heads,
                                         .width = shape.hidden};
  bench.run(fields_of("decision_logits", shape, rows),
            {.bytes = static_cast<double>(x.bytes() + weights.bytes() + logits.bytes())},
            [&](cudaStream_t stream) { return cuda::decision_logits(params, stream); });
}

void bench_activation(Bench& bench, const BenchShape& shape, int32_t rows) {
  const int64_t numbers = int64_t{rows} * shape.ffn;
  const cuda::DeviceBuffer x = halves(2 * numbers, 1.0f, bench);
  const cuda::DeviceBuffer out = halves(numbers, 1.0f, bench);
  const cuda::ActivationParams params{
      .x = x.at<__nv_bfloat16>(), .out = out.at<__nv_bfloat16>(), .rows = rows, .width = shape.ffn};
  bench.run(fields_of("activation", shape, rows),
            {.bytes = 6.0 * static_cast<double>(numbers)},
            [&](cudaStream_t stream) { return cuda::activate(params, stream); });
}

/// As `decode`, rows of so many sequences; else one sequence's chunk.
void bench_finish_qkv(Bench& bench, const BenchShape& shape, int32_t rows, bool decode) {
  const BenchCache cache({.slots = decode ? rows : 1,
                          .kv_heads = shape.kv_heads,
                          .head_dim = shape.head_dim,
                          .window = shape.window,
                          .slack = kSlack,
                          .tokens = decode ? shape.context : 0,
                          .more_tokens = rows,
                          .keep = kKeep},
                         bench.stream());
  const int32_t positions = shape.context + rows;
  const cuda::DeviceBuffer qkv = floats(int64_t{rows} * shape.qkv_width(), 1.0f, bench);
  const cuda::DeviceBuffer norms = floats(2 * shape.head_dim, 1.0f, bench);
  const cuda::DeviceBuffer angles = floats(int64_t{positions} * shape.head_dim, 1.0f, bench);
  const cuda::DeviceBuffer queries = halves(int64_t{rows} * shape.q_width(), 1.0f, bench);
  const cuda::DeviceBuffer chunk = halves(2 * int64_t{rows} * shape.kv_width(), 1.0f, bench);
  const cuda::QkvParams params{
      .qkv = qkv.at<float>(),
      .q_norm = norms.at<float>(),
      .k_norm = norms.at<float>() + shape.head_dim,
      .angles = angles.at<float2>(),
      .rotary_dim = shape.head_dim,
      .q_heads = shape.q_heads,
      .query_scale = 0.125f,
      .fate = {.rule = cuda::FateRule::hash, .keep = kKeep, .seed = 5},
      .rows = decode ? cache.decode_rows(rows) : cache.prompt_rows(0, rows),
      .slots = cache.slots(),
      .cache = cache.view(),
      .queries = queries.at<__nv_bfloat16>(),
      .chunk_keys = chunk.at<__nv_bfloat16>(),
      .chunk_values = chunk.at<__nv_bfloat16>() + int64_t{rows} * shape.kv_width()};
  OrderedJson fields = fields_of("finish_qkv", shape, rows);
  fields["decode"] = decode;
  bench.run(fields,
            {.bytes = 6.0 * rows * shape.qkv_width() + 4.0 * rows * shape.head_dim},
            [&](cudaStream_t stream) { return cuda::finish_qkv(params, stream); });
}

/// A step's sealing in all layers at once: of each head one token leaves the window.
void bench_seal(Bench& bench, const BenchShape& shape, cuda::KvFormat format, int32_t rows) {
  BenchCache cache({.slots = rows,
                    .layers = shape.layers,
                    .kv_heads = shape.kv_heads,
                    .head_dim = shape.head_dim,
                    .window = shape.window,
                    .slack = kSlack,
                    .tokens = shape.window + kSlack + 1,
                    .more_tokens = cuda::kPageTokens,
                    .keep = 1.0,
                    .format = format,
                    .free_pages = rows * shape.layers * shape.kv_heads},
                   bench.stream());
  const cuda::SealParams params{
      .cache = cache.view(), .slots = cache.slots(), .rows = cache.decode_rows(rows)};
  OrderedJson fields = fields_of("seal_windows", shape, rows);
  fields["survivors"] = format == cuda::KvFormat::bf16 ? "bf16" : "fp8";
  bench.run(
      fields,
      {},
      [&](cudaStream_t stream) { return cuda::seal_windows(params, stream); },
      [&](cudaStream_t stream) {
        const auto slots = static_cast<size_t>(rows);
        const cudaError_t restored = cache.restore(stream);
        if (restored != cudaSuccess) return restored;
        // Nothing was sealed yet.
        return cudaMemsetAsync(cache.slots().sealed_end, 0, 4 * slots, stream);
      });
}

void bench_sampling_case(
    Bench& bench, const BenchShape& shape, int32_t rows, const char* name, cuda::SamplingRow row) {
  const cuda::DeviceBuffer logits = floats(int64_t{rows} * shape.vocab, 8.0f, bench);
  const auto count = static_cast<size_t>(rows);
  const cuda::DeviceBuffer settings(sizeof(row) * count, "settings");
  const cuda::DeviceBuffer tokens(4 * count, "tokens");
  const cuda::DeviceBuffer workspace(
      static_cast<size_t>(cuda::sample_workspace_bytes(rows, shape.vocab)), "sampling");
  const std::vector<cuda::SamplingRow> all(count, row);
  cuda::check(cudaMemcpy(settings.data(), all.data(), settings.bytes(), cudaMemcpyDefault),
              "copying settings");
  const cuda::SampleParams params{.logits = logits.at<float>(),
                                  .settings = settings.at<cuda::SamplingRow>(),
                                  .tokens = tokens.at<int32_t>(),
                                  .rows = rows,
                                  .vocab = shape.vocab,
                                  .workspace = workspace.data()};
  OrderedJson fields = fields_of("sampling", shape, rows);
  fields["settings"] = name;
  bench.run(fields, {.bytes = 4.0 * rows * shape.vocab}, [&](cudaStream_t stream) {
    return cuda::sample(params, stream);
  });
}

}  // namespace

void bench_fused(Bench& bench) {
  for (const BenchShape& shape : bench_shapes(bench.settings().tiny)) {
    for (const int32_t rows : {1, 8, shape.chunk}) {
      if (bench.wants("norm")) bench_norm(bench, shape, rows);
      if (bench.wants("decision_logits")) bench_decisions(bench, shape, rows);
      if (bench.wants("finish_qkv")) bench_finish_qkv(bench, shape, rows, rows <= 8);
      if (bench.wants("activation")) bench_activation(bench, shape, rows);
    }
    if (bench.wants("seal_windows")) {
      bench_seal(bench, shape, cuda::KvFormat::bf16, 8);
      bench_seal(bench, shape, cuda::KvFormat::fp8, 8);
    }
  }
}

void bench_sampling(Bench& bench) {
  const cuda::SamplingRow cut{.temperature = 0.8f, .top_k = 50, .top_p = 0.9f, .seed = 3};
  for (const BenchShape& shape : bench_shapes(bench.settings().tiny)) {
    for (const int32_t rows : {1, 8}) {
      if (!bench.wants("sampling")) continue;
      bench_sampling_case(bench, shape, rows, "greedy", {});
      bench_sampling_case(bench, shape, rows, "top_k 50, top_p 0.9", cut);
    }
  }
}

}  // namespace dms::bench
