// What a sequence's cache takes: what a pass may want at most, what is expected, what is held.

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/memory_shortage.h"
#include "cache/sequence_cache.h"

namespace dms::cache {

using kernels::kPageTokens;

namespace {

/// Of one head. Merged entries and, where positions are shifted, what stands in for the middle:
/// each begins a page.
int64_t most_digest_pages(const Policy& policy, int64_t tokens) {
  if (!policy.digests()) return 0;
  const bool shifts = policy.far_position(0).has_value();
  const int64_t merged = std::min(policy.most_merged(), (shifts ? 2 : 1) * tokens);
  return ceil_div(merged, kPageTokens) + (shifts ? 1 : 0);
}

}  // namespace

void SequenceCache::add_demand(int64_t count, PageDemand& demand) const {
  // A layer gives sealed window pages back once its attention is done, before the next one takes
  // any: at most one layer's are held beyond what the chunk leaves.
  int64_t window = 0;
  int64_t held_back = 0;
  const int64_t digest_pages = most_digest_pages(*policy_, tokens_ + count);
  for (int64_t layer = 0; layer < shape_.layers; ++layer) {
    const LayerState& state = layers_[static_cast<size_t>(layer)];
    const int64_t sealed = sealed_end(state, tokens_ + count);
    PageNeed need;
    for (const HeadCache& head : state.heads) {
      need += head.page_need(tokens_, count, sealed);
      if (policy_->plans()) need.survivors += head.shared_survivor_pages();
      need.window += head.digest().page_need(digest_pages);
    }
    window += std::max<int64_t>(need.window - need.given_back, 0);
    demand[survivor_layout(shape_, layer).bytes()] += need.survivors;
    held_back = std::max(held_back, need.given_back);
  }
  demand[page_layout(shape_, shape_.window_format).bytes()] += window + held_back;
}

/// Of a shared page that is not full it takes a copy, and of any where what leaves a sliding window
/// leaves gaps.
void SequenceCache::add_branch_demand(const Growth& growth, PageDemand& demand) const {
  constexpr int64_t kPassTokens = 512;
  const int64_t in_window = ceil_div(kRollbackTokens + policy_->window(), kPageTokens) + 2;
  demand[page_layout(shape_, shape_.window_format).bytes()] +=
      shape_.kv_heads * (shape_.layers * in_window + ceil_div(kPassTokens, kPageTokens));
  for (int64_t layer = 0; layer < shape_.layers; ++layer) {
    int64_t& survivors = demand[survivor_layout(shape_, layer).bytes()];
    survivors += shape_.kv_heads * (ceil_div(growth.branch_tokens, kPageTokens) + 1);
    const LayerState& state = layers_[static_cast<size_t>(layer)];
    if (state.visibility.sliding_window == 0) continue;
    for (const HeadCache& head : state.heads) {
      survivors += head.survivor_pages() + ceil_div(growth.tokens, kPageTokens);
    }
  }
}

int64_t SequenceCache::policy_bytes() const {
  int64_t bytes = 0;
  for (const LayerState& state : layers_) {
    bytes += state.queries.bytes();
    if (state.policy_state) bytes += state.policy_state->bytes();
    if (!policy_->digests()) continue;
    for (const HeadCache& head : state.heads) bytes += head.digest().table_bytes();
  }
  return bytes;
}

int64_t SequenceCache::most_policy_bytes(const CacheShape& shape,
                                         const Policy& policy,
                                         const PolicyState* state,
                                         int64_t tokens) {
  if (tokens == 0) return 0;
  const BlockRoom blocks = policy.most_blocks(tokens);
  const int64_t number_bytes = shape.window_format == kernels::KvFormat::f32 ? 4 : 2;
  constexpr auto kFloatBytes = static_cast<int64_t>(sizeof(float));
  constexpr auto kPositionBytes = static_cast<int64_t>(sizeof(int32_t));
  const int64_t of_digests =
      blocks.numbers * number_bytes + blocks.tokens * kPositionBytes +
      shape.kv_heads * DigestStore::most_table_bytes(most_digest_pages(policy, tokens));
  const int64_t of_queries = kept_queries(policy) * ring_width(shape, policy) * kFloatBytes;
  const int64_t of_state = state == nullptr ? 0 : state->most_bytes(tokens);
  return shape.layers * (of_digests + of_queries + of_state);
}

int64_t SequenceCache::policy_growth(int64_t tokens) const {
  const PolicyState* state = layers_.front().policy_state.get();
  const int64_t most = most_policy_bytes(shape_, *policy_, state, tokens);
  return std::max<int64_t>(most - counted_.bytes(), 0);
}

namespace {

CachePools& common_pools(std::span<const Growth> parts) {
  CachePools& pools = parts.front().cache->pools();
  ensure(std::ranges::all_of(parts,
                             [&](const Growth& part) { return &part.cache->pools() == &pools; }),
         "a pass over sequences of one model");
  return pools;
}

struct Demand {
  PageDemand pages;
  int64_t beside = 0;  // bytes

  int64_t missing_bytes(const CachePools& pools) const {
    return pools.missing_bytes(pages) + beside;
  }
};

Demand demand_of(std::span<const Growth> parts) {
  Demand demand;
  for (const Growth& part : parts) {
    const SequenceCache& cache = *part.cache;
    const int64_t tokens = cache.tokens() + part.tokens;
    cache.add_demand(part.tokens, demand.pages);
    demand.beside += cache.policy_growth(tokens);
    if (part.branch_tokens == 0) continue;
    cache.add_branch_demand(part, demand.pages);
    demand.beside += cache.policy_bytes() + cache.policy_growth(tokens + part.branch_tokens);
  }
  return demand;
}

}  // namespace

bool reserve_memory(std::span<const Growth> parts) {
  if (parts.empty()) return true;
  CachePools& pools = common_pools(parts);
  if (pools.budget().limit_bytes == 0) return true;
  const Demand demand = demand_of(parts);
  if (!pools.budget().fits(demand.missing_bytes(pools))) return false;
  pools.promise(demand.pages, demand.beside);
  return true;
}

MemoryShortage memory_shortage(std::span<const Growth> parts) {
  const CachePools& pools = common_pools(parts);
  const Demand demand = demand_of(parts);
  const int64_t needed = pools.budget().used_bytes + demand.missing_bytes(pools);
  int64_t tokens = 0;
  for (const Growth& part : parts) tokens += part.cache->tokens();
  return shortage_of({.sequences = std::ssize(parts),
                      .tokens = tokens,
                      .bytes = needed,
                      .limit_bytes = pools.budget().limit_bytes,
                      .policy_bytes = pools.beside_bytes() + demand.beside});
}

HeadPages expected_head_pages(const Policy& policy, int64_t tokens) {
  const int64_t window = std::min(tokens, policy.window() + kRollbackTokens);
  const auto survivors = static_cast<int64_t>(
      std::ceil(static_cast<double>(tokens - window) * policy.expected_keep()));
  return {.window = ceil_div(window, kPageTokens) + 1,
          .survivors = ceil_div(survivors, kPageTokens)};
}

PageDemand expected_pages(const CacheShape& shape, const Policy& policy, int64_t tokens) {
  const HeadPages head = expected_head_pages(policy, tokens);
  PageDemand pages;
  pages[page_layout(shape, shape.window_format).bytes()] +=
      shape.layers * shape.kv_heads * head.window;
  for (int64_t layer = 0; layer < shape.layers; ++layer) {
    pages[survivor_layout(shape, layer).bytes()] += shape.kv_heads * head.survivors;
  }
  return pages;
}

void SequenceCache::preallocate(int64_t tokens) {
  for (const auto& [bytes, pages] : expected_pages(shape_, *policy_, tokens)) {
    pools_->pool(bytes).reserve(pages);
  }
}

PageDemand SequenceCache::held_pages() const {
  PageDemand pages;
  for (int64_t layer = 0; layer < shape_.layers; ++layer) {
    int64_t& window = pages[page_layout(shape_, shape_.window_format).bytes()];
    int64_t& survivors = pages[survivor_layout(shape_, layer).bytes()];
    for (const HeadCache& head : layers_[static_cast<size_t>(layer)].heads) {
      window += head.window_pages();
      survivors += head.survivor_pages();
    }
  }
  return pages;
}

int64_t SequenceCache::held_bytes() const {
  int64_t bytes = counted_.bytes();
  for (const auto& [page_bytes, pages] : held_pages()) bytes += page_bytes * pages;
  return bytes;
}

int64_t SequenceCache::saved_bytes() const {
  int64_t bytes = held_bytes();
  if (saves_queries()) return bytes;
  for (const LayerState& state : layers_) bytes -= state.queries.bytes();
  return bytes;
}

CacheUsage SequenceCache::usage() const {
  CacheUsage usage;
  usage.dense_tokens = tokens_ * shape_.layers * shape_.kv_heads;
  const int64_t element_bytes = shape_.window_format == kernels::KvFormat::f32 ? 4 : 2;
  usage.dense_bytes = usage.dense_tokens * 2 * shape_.head_dim * element_bytes;
  int64_t tables = static_cast<int64_t>(sizeof(*this) + layers_.size() * sizeof(LayerState));
  for (const LayerState& state : layers_) {
    std::vector<int64_t>& held = usage.held_per_head.emplace_back();
    tables += state.queries.bytes();
    if (state.policy_state) tables += state.policy_state->bytes();
    for (const HeadCache& head : state.heads) {
      held.push_back(head.held_tokens(tokens_, state.visibility));
      usage.held_tokens += held.back();
      tables += head.table_bytes();
    }
  }
  // Pages that are free in the pools were taken from the system too: each sequence bears its share.
  const auto with_share = [](int64_t pages, const PagePool& pool) {
    const int64_t in_use = std::max<int64_t>(pool.pages_in_use(), 1);
    return pages * pool.page_bytes() +
           static_cast<int64_t>(static_cast<double>(pages) / static_cast<double>(in_use) *
                                static_cast<double>(pool.free_pages() * pool.page_bytes()));
  };
  usage.allocated_bytes = tables;
  for (const auto& [page_bytes, pages] : held_pages()) {
    usage.allocated_bytes += with_share(pages, pools_->pool(page_bytes));
  }
  peak_table_bytes_ = std::max(peak_table_bytes_, tables - counted_.bytes());
  usage.peak_page_bytes = pools_->budget().peak_bytes;
  usage.peak_table_bytes = peak_table_bytes_;
  return usage;
}

std::vector<int32_t> SequenceCache::held_heads() const {
  std::vector<int32_t> counts(static_cast<size_t>(tokens_), 0);
  for (const LayerState& state : layers_) {
    for (const HeadCache& head : state.heads) head.count_held(state.visibility, counts);
  }
  return counts;
}

}  // namespace dms::cache
