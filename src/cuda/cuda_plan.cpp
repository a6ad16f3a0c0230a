#include "cuda/cuda_plan.h"

#include <algorithm>

#include "cache/sequence_cache.h"
#include "cpu/cpu_model.h"
#include "dms/error.h"

namespace dms::cuda {
namespace {

FateRule rule_of(cache::FateRule::Kind kind) {
  switch (kind) {
    case cache::FateRule::Kind::logit:
      return FateRule::logit;
    case cache::FateRule::Kind::threshold:
      return FateRule::threshold;
    case cache::FateRule::Kind::beyond:
      return FateRule::beyond;
    case cache::FateRule::Kind::hash:
      return FateRule::hash;
    case cache::FateRule::Kind::keep:
    case cache::FateRule::Kind::known:  // stands in the cache from the beginning
      break;
  }
  return FateRule::keep;
}

KvFormat format_of(const CacheOptions& options, const cache::CacheShape& shape) {
  const kernels::PageFormat& format = shape.survivor_format;
  if (format.keys == format.values) {
    if (format.keys == kernels::KvFormat::bf16) return KvFormat::bf16;
    if (format.keys == kernels::KvFormat::fp8) return KvFormat::fp8;
    if (format.keys == kernels::KvFormat::int8) return KvFormat::int8;
  }
  throw InputError({.field = "kv_dtype",
                    .what = "is not on the device cuda",
                    .got = options.kv_dtype,
                    .expected = "one of bf16, int8, fp8 there"});
}

policy::PolicyPtr policy_of(const ModelSpec& spec, const CacheOptions& options) {
  policy::PolicyPtr policy = cpu::make_policy(spec, options);
  if (policy->far_position(0)) {
    throw InputError({.field = "policy_args.enable_pos_shift",
                      .what = "is not on the device cuda",
                      .got = "true",
                      .expected = "enable_pos_shift=false"});
  }
  if (!policy->fate_rule()) {
    throw InputError({.field = "policy",
                      .what = "is not on the device cuda",
                      .got = cpu::policy_name(spec, options),
                      .expected = "one of none, dms, kvzap, streaming, random, forced there"});
  }
  return policy;
}

}  // namespace

FateParams CudaPlan::fate() const {
  return {.rule = rule_of(rule_.kind),
          .shift = shift(),
          .sinks = static_cast<int32_t>(rule_.sinks),
          .threshold = rule_.threshold,
          .keep = rule_.keep,
          .seed = rule_.seed,
          .per_layer = rule_.per_layer};
}

PageDemand CudaPlan::expected_pages(int64_t tokens) const {
  const cache::HeadPages head = cache::expected_head_pages(*policy_, tokens);
  PageDemand pages;
  pages[page_bytes(KvFormat::bf16, heads_.head_dim)] += heads_.heads * head.window;
  pages[page_bytes(survivor_format(), heads_.head_dim)] += heads_.heads * head.survivors;
  return pages;
}

int64_t CudaPlan::expected_bytes(int64_t tokens) const {
  int64_t sum = 0;
  for (const auto& [bytes, pages] : expected_pages(tokens)) sum += bytes * pages;
  return sum;
}

std::vector<uint32_t> CudaPlan::known_fates(int32_t layers,
                                            int32_t kv_heads,
                                            int32_t columns) const {
  const int64_t tokens = int64_t{columns} * kPageTokens;
  std::vector<uint32_t> words;
  std::vector<uint8_t> evict(static_cast<size_t>(kv_heads * tokens));
  for (int64_t layer = 0; layer < layers; ++layer) {
    std::ranges::fill(evict, uint8_t{0});
    policy_->decide({.layer = layer, .first = 0, .count = tokens}, evict);
    for (size_t first = 0; first < evict.size(); first += kPageTokens) {
      uint32_t word = 0;
      for (size_t i = 0; i < kPageTokens; ++i) word |= uint32_t{evict[first + i]} << i;
      words.push_back(word);
    }
  }
  return words;
}

std::shared_ptr<const CudaPlan> make_plan(const ModelSpec& spec,
                                          const cpu::ResolvedModelOptions& model,
                                          const CacheOptions& options) {
  auto host = cpu::make_plan(spec, model, options);
  policy::PolicyPtr policy = policy_of(spec, options);
  const KvFormat format = format_of(options, cpu::cache_shape(spec, model, options));
  const auto refuse = [](const char* field, int64_t value) {
    if (value == 0) return;
    throw InputError({.field = field,
                      .what = "is not on the device cuda",
                      .got = std::to_string(value),
                      .expected = "0 there"});
  };
  refuse("kv_exact_layers", options.kv_exact_layers);
  refuse("preallocate_tokens", options.preallocate_tokens);
  return std::make_shared<CudaPlan>(
      std::move(host),
      std::move(policy),
      HeadShape{.heads = static_cast<int32_t>(spec.layers * spec.kv_heads),
                .head_dim = static_cast<int32_t>(spec.head_dim),
                .survivor_format = format});
}

}  // namespace dms::cuda
