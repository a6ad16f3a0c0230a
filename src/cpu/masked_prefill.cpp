#include "cpu/masked_prefill.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "base/parallel.h"
#include "cache/sequence_cache.h"
#include "dms/error.h"
#include "kernels/kv_format.h"
#include "model/attention.h"

namespace dms::cpu {
namespace {

/// Fates as the caller has them, [kv_heads, tokens].
class GivenFates final : public cache::Policy {
 public:
  GivenFates(std::span<const uint8_t> evicted, int64_t tokens, int64_t window)
      : evicted_(evicted), tokens_(tokens), window_(window) {}

  int64_t window() const override { return window_; }
  void decide(const cache::FateRequest& request, std::span<uint8_t> evict) const override {
    for (size_t at = 0, head = 0; at < evict.size(); at += static_cast<size_t>(request.count)) {
      const auto of_head = evicted_.subspan(head++ * static_cast<size_t>(tokens_));
      for (int64_t i = 0; i < request.count; ++i) {
        const bool goes = of_head[static_cast<size_t>(request.first + i)] != 0;
        evict[at + static_cast<size_t>(i)] = goes ? 1 : 0;
      }
    }
  }

 private:
  std::span<const uint8_t> evicted_;
  int64_t tokens_;
  int64_t window_;
};

kernels::KvFormat format_of(const std::string& dtype) {
  if (dtype == "f32") return kernels::KvFormat::f32;
  if (dtype == "bf16") return kernels::KvFormat::bf16;
  throw InputError(
      {.field = "dtype", .what = "unknown type", .got = dtype, .expected = "f32 or bf16"});
}

ModelSpec one_layer(const FusedPrefill& prompt) {
  ModelSpec spec;
  spec.layers = 1;
  spec.q_heads = prompt.q_heads;
  spec.kv_heads = prompt.kv_heads;
  spec.head_dim = prompt.head_dim;
  spec.attention_scale = prompt.scale;
  return spec;
}

/// Rows as the decoder has them: queries, keys and values of a token side by side.
std::vector<float> joined_rows(const FusedPrefill& prompt, int64_t width) {
  std::vector<float> rows(static_cast<size_t>(prompt.tokens * width));
  parallel_for(prompt.tokens, 64, [&](int64_t token) {
    auto to = rows.begin() + token * width;
    for (const std::span<const float> part : {prompt.queries, prompt.keys, prompt.values}) {
      const auto values = part.size() / static_cast<size_t>(prompt.tokens);
      to = std::ranges::copy(part.subspan(static_cast<size_t>(token) * values, values), to).out;
    }
  });
  return rows;
}

}  // namespace

void masked_prefill(const FusedPrefill& prompt, std::span<float> out) {
  const ModelSpec spec = one_layer(prompt);
  const kernels::KvFormat format = format_of(prompt.dtype);
  cache::SequenceCache sequence(
      {.layers = 1,
       .kv_heads = spec.kv_heads,
       .head_dim = spec.head_dim,
       .group = spec.group(),
       .attention_scale = spec.query_scale(),
       .window_format = format,
       .survivor_format = format},
      std::make_shared<cache::CachePools>(0),
      std::make_shared<GivenFates>(
          prompt.evicted, prompt.tokens, std::min(prompt.window, prompt.tokens)));
  const cache::Growth growth{.cache = &sequence, .tokens = prompt.tokens};
  if (!cache::reserve_memory({&growth, 1})) throw cache::memory_shortage({&growth, 1});
  const int64_t width = model::qkv_width(spec);
  const int64_t q_values = spec.q_heads * spec.head_dim;
  model::Workspace work;
  work.qkv = joined_rows(prompt, width);
  work.attended.resize(static_cast<size_t>(prompt.tokens * q_values));
  const std::vector<int32_t> ids(static_cast<size_t>(prompt.tokens));
  const model::Segment segment{.cache = &sequence, .ids = ids, .logits = model::LogitRows::none};
  const model::Batch batch({&segment, 1});
  const std::span<const float> rows = work.qkv;
  sequence.append(
      {.layer = 0,
       .count = prompt.tokens,
       .keys = rows.subspan(static_cast<size_t>(q_values)),
       .values = rows.subspan(static_cast<size_t>(q_values + spec.kv_heads * spec.head_dim)),
       .token_stride = width,
       .queries = rows});
  model::run_attention(spec, 0, batch, work);
  std::ranges::copy(work.attended, out.begin());
}

}  // namespace dms::cpu
