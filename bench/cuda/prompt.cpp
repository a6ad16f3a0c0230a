#include "prompt.h"

#include <algorithm>

#include "cuda/kernels/seal.h"
#include "fill.h"
#include "timed_attention.h"

namespace dms::bench {
namespace {

cuda::DeviceBuffer numbers(size_t count, float scale, Bench& bench) {
  cuda::DeviceBuffer buffer(2 * count, "a chunk");
  auto* values = buffer.at<__nv_bfloat16>();
  cuda::check(fill_bf16(values, static_cast<int64_t>(count), scale, 17, bench.stream()), "a chunk");
  return buffer;
}

}  // namespace

Prompt::Prompt(const BenchShape& shape, const PromptRequest& request, Bench& bench)
    : shape_(shape),
      request_(request),
      hopper_(bench.compute_capability() == 90),
      cache_({.kv_heads = shape.kv_heads,
              .head_dim = shape.head_dim,
              .window = shape.window,
              .slack = kSlack,
              .more_tokens = request.tokens,
              .keep = request.keep,
              .format = request.format,
              .free_pages = shape.kv_heads * (request.tokens / cuda::kPageTokens + 1)},
             bench.stream()) {
  const auto chunk = static_cast<size_t>(std::min(request.chunk, request.tokens));
  queries_ = numbers(chunk * static_cast<size_t>(shape.q_width()), 0.3f, bench);
  out_ = numbers(chunk * static_cast<size_t>(shape.q_width()), 0.3f, bench);
  keys_ = numbers(chunk * static_cast<size_t>(shape.kv_width()), 1.0f, bench);
  values_ = numbers(chunk * static_cast<size_t>(shape.kv_width()), 1.0f, bench);
  int64_t workspace = 0;
  for (int32_t first = 0; first < request.tokens; first += request.chunk) {
    workspace = std::max(workspace, cuda::prefill_workspace_bytes(attention(first)));
  }
  workspace_ = cuda::DeviceBuffer(static_cast<size_t>(workspace), "prefill's workspace");
}

int32_t Prompt::sealed_before(int32_t tokens) const {
  return std::max(0, tokens - shape_.window - kSlack);
}

cuda::PrefillAttentionParams Prompt::attention(int32_t first) const {
  return {.cache = cache_.view(),
          .q_heads = shape_.q_heads,
          .window = shape_.window,
          .sealed_end = sealed_before(first),
          .first = first,
          .count = std::min(request_.chunk, request_.tokens - first),
          .queries = queries_.at<__nv_bfloat16>(),
          .keys = keys_.at<__nv_bfloat16>(),
          .values = values_.at<__nv_bfloat16>(),
          .out = out_.at<__nv_bfloat16>(),
          .workspace = workspace_.data()};
}

cudaError_t Prompt::attend_all(cudaStream_t stream) const {
  return attend_all(hopper_ ? cuda::prefill_attention_hopper : cuda::prefill_attention, stream);
}

cudaError_t Prompt::attend_all_timed(cudaStream_t stream) const {
  return attend_all(hopper_ ? timed_attention_hopper : timed_attention, stream);
}

std::vector<double> Prompt::attention_milliseconds() const {
  const int32_t chunks = (request_.tokens + request_.chunk - 1) / request_.chunk;
  return take_attention_milliseconds(static_cast<size_t>(chunks));
}

cudaError_t Prompt::attend_all(cuda::AttendPrompt attend, cudaStream_t stream) const {
  for (int32_t first = 0; first < request_.tokens; first += request_.chunk) {
    const cuda::PrefillAttentionParams chunk = attention(first);
    const cudaError_t attended = attend(chunk, stream);
    if (attended != cudaSuccess) return attended;
    const cudaError_t sealed =
        cuda::seal_chunk({.cache = chunk.cache,
                          .old_sealed_end = chunk.sealed_end,
                          .sealed_end = sealed_before(chunk.first + chunk.count),
                          .first = chunk.first,
                          .count = chunk.count,
                          .keys = chunk.keys,
                          .values = chunk.values},
                         stream);
    if (sealed != cudaSuccess) return sealed;
  }
  return cudaSuccess;
}

}  // namespace dms::bench
