#include <algorithm>

#include "bench_cache.h"
#include "cuda/kernels/decode_attention.h"
#include "fill.h"
#include "kernel_benches.h"
#include "prompt.h"
#include "shapes.h"

namespace dms::bench {
namespace {

using cuda::KvFormat;

const char* name_of(KvFormat format) {
  switch (format) {
    case KvFormat::bf16:
      return "bf16";
    case KvFormat::fp8:
      return "fp8";
    case KvFormat::int8:
      return "int8";
  }
  return "";
}

struct Case {
  const char* policy;  // none, or random with CR 8
  double keep;
  KvFormat format;
};

constexpr Case kCases[] = {{"none", 1.0, KvFormat::bf16},
                           {"random", kKeep, KvFormat::bf16},
                           {"random", kKeep, KvFormat::fp8},
                           {"random", kKeep, KvFormat::int8}};

/// What decode attention of one layer is given, and the room it needs.
class DecodeAttention {
 public:
  DecodeAttention(const BenchCache& cache, const BenchShape& shape, int32_t rows, Bench& bench) {
    const int32_t group = shape.q_heads / shape.kv_heads;
    const auto q_bytes = 2 * static_cast<size_t>(rows) * static_cast<size_t>(shape.q_width());
    queries_ = cuda::DeviceBuffer(q_bytes, "queries");
    out_ = cuda::DeviceBuffer(q_bytes, "attention's output");
    cuda::check(
        fill_bf16(
            queries_.at<__nv_bfloat16>(), int64_t{rows} * shape.q_width(), 0.3f, 9, bench.stream()),
        "making queries");
    params.cache = cache.view();
    params.slots = cache.slots();
    params.rows = cache.decode_rows(rows);
    params.q_heads = shape.q_heads;
    params.queries = queries_.at<__nv_bfloat16>();
    params.out = out_.at<__nv_bfloat16>();
    cuda::check(cuda::decode_blocks(params, params.blocks), "asking for decode's blocks");
    const int32_t most = cuda::most_pieces(rows, shape.kv_heads, params.blocks);
    const auto pieces = static_cast<size_t>(most);
    const auto heads = static_cast<size_t>(rows * shape.kv_heads + 1);
    pieces_ = cuda::DeviceBuffer(sizeof(cuda::AttentionPiece) * pieces, "a plan");
    counts_ = cuda::DeviceBuffer(4 * (heads + 64), "a plan");
    params.plan = {.pieces = pieces_.at<cuda::AttentionPiece>(),
                   .piece_count = counts_.at<int32_t>(),
                   .first_piece = counts_.at<int32_t>(256),
                   .max_pieces = most};
    const auto group_size = static_cast<size_t>(group);
    partial_ = cuda::DeviceBuffer(4 * pieces * group_size * static_cast<size_t>(shape.head_dim),
                                  "partial sums");
    sums_ = cuda::DeviceBuffer(8 * pieces * group_size, "partial sums");
    params.partial = partial_.at<float>();
    params.partial_sums = sums_.at<float2>();
  }

  cuda::DecodeAttentionParams params{};

 private:
  cuda::DeviceBuffer queries_, out_, pieces_, counts_, partial_, sums_;
};

void bench_decode_case(Bench& bench, const BenchShape& shape, const Case& one, int32_t rows) {
  const BenchCache cache({.slots = rows,
                          .kv_heads = shape.kv_heads,
                          .head_dim = shape.head_dim,
                          .window = shape.window,
                          .slack = kSlack,
                          .tokens = shape.context,
                          .more_tokens = cuda::kPageTokens,
                          .keep = one.keep,
                          .format = one.format},
                         bench.stream());
  DecodeAttention attention(cache, shape, rows, bench);
  const OrderedJson fields{{"shape", shape.name},
                           {"policy", one.policy},
                           {"survivors", name_of(one.format)},
                           {"context", shape.context},
                           {"rows", rows}};
  OrderedJson plan{{"bench", "plan_decode"}};
  plan.update(fields);
  bench.run(
      plan, {}, [&](cudaStream_t stream) { return cuda::plan_decode(attention.params, stream); });
  OrderedJson attend{{"bench", "decode_attention"}};
  attend.update(fields);
  attend["blocks"] = attention.params.blocks;
  const double moved = cache.read_bytes(rows) + 4.0 * rows * shape.q_width();
  const double entries = static_cast<double>(cache.survivors(rows)) +
                         double(rows) * shape.kv_heads * (shape.context + 1 - cache.sealed_end());
  const double operations = 4 * entries * shape.q_heads / shape.kv_heads * shape.head_dim;
  bench.run(attend, {moved, operations}, [&](cudaStream_t stream) {
    return cuda::decode_attention(attention.params, stream);
  });
}

/// Operations of the pairs that the mask leaves; bench/cuda/cost_model.py counts the same.
double prefill_operations(const BenchShape& shape, double keep, double tokens) {
  const double band = std::min(tokens, shape.window + 1.0);
  const double older = tokens - band;
  const double pairs = band * (band + 1) / 2 + older * band + keep * older * (older + 1) / 2;
  return 4 * pairs * shape.q_width();
}

}  // namespace

void bench_decode_attention(Bench& bench) {
  for (const BenchShape& shape : bench_shapes(bench.settings().tiny)) {
    for (const int32_t rows : {8, 1}) {
      for (const Case& one : kCases) {
        if (bench.wants("decode_attention")) bench_decode_case(bench, shape, one, rows);
      }
    }
  }
}

void bench_prefill_attention(Bench& bench) {
  for (const BenchShape& shape : bench_shapes(bench.settings().tiny)) {
    for (const int32_t tokens : shape.prefill_lengths) {
      for (const Case& one : kCases) {
        if (one.format == KvFormat::int8 || !bench.wants("prefill_attention")) continue;
        const Prompt prompt(shape, {tokens, shape.chunk, one.keep, one.format}, bench);
        bench.run(
            {{"bench", "prefill_attention"},
             {"shape", shape.name},
             {"policy", one.policy},
             {"survivors", name_of(one.format)},
             {"context", tokens},
             {"chunk", shape.chunk},
             {"kernel", prompt.kernel()}},
            {.operations = prefill_operations(shape, one.keep, tokens)},
            [&](cudaStream_t stream) { return prompt.attend_all_timed(stream); },
            [&](cudaStream_t stream) { return prompt.restore(stream); },
            [&] { return prompt.attention_milliseconds(); });
      }
    }
  }
}

}  // namespace dms::bench
