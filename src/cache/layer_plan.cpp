#include "cache/layer_plan.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "base/parallel.h"
#include "kernels/attention_mass.h"

namespace dms::cache {
namespace {

/// A head's entries with their keys, by rising position.
struct HeadKeys {
  std::vector<int32_t> positions;
  std::vector<float> keys;  // [entries, head_dim]
};

HeadKeys read_keys(const PlanContext& context, const HeadCache& head) {
  const auto head_dim = static_cast<size_t>(context.head_dim);
  HeadKeys found;
  std::vector<float> value(head_dim);
  head.visit(context.tokens, [&](int64_t position, const StoredToken& token) {
    const size_t at = found.keys.size();
    found.positions.push_back(static_cast<int32_t>(position));
    found.keys.resize(at + head_dim);
    kernels::load_token(
        token.layout, token.page, token.slot, std::span(found.keys).subspan(at), value);
  });
  std::vector<size_t> order(found.positions.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::sort(order, {}, [&](size_t i) { return found.positions[i]; });
  HeadKeys sorted;
  for (const size_t i : order) {
    sorted.positions.push_back(found.positions[i]);
    const auto key = std::span(found.keys).subspan(i * head_dim, head_dim);
    sorted.keys.insert(sorted.keys.end(), key.begin(), key.end());
  }
  return sorted;
}

std::vector<float> norms(std::span<const float> rows, size_t width) {
  std::vector<float> result;
  for (size_t at = 0; at < rows.size(); at += width) {
    double sum = 0;
    for (const float x : rows.subspan(at, width)) sum += static_cast<double>(x) * x;
    result.push_back(static_cast<float>(std::sqrt(sum)));
  }
  return result;
}

/// [group, entries], or empty.
std::vector<float> biases(const PlanContext& context, const HeadKeys& keys, size_t head) {
  if (!context.alibi->is_used()) return {};
  std::vector<float> all(static_cast<size_t>(context.group) * keys.positions.size());
  for (int64_t i = 0; i < context.group; ++i) {
    kernels::alibi_biases(*context.alibi,
                          static_cast<int64_t>(head) * context.group + i,
                          context.tokens,
                          keys.positions,
                          std::span(all).subspan(static_cast<size_t>(i) * keys.positions.size(),
                                                 keys.positions.size()));
  }
  return all;
}

/// Of the last queries, no more than the prompt that has ended is long.
std::vector<float> attention(const PlanContext& context, const HeadKeys& keys, size_t head) {
  const int64_t since = context.prompt_begin < context.tokens ? context.prompt_begin : 0;
  const int64_t first = std::max(context.tokens - context.queries->count(), since);
  const auto width = static_cast<size_t>(context.group * context.head_dim);
  std::vector<kernels::QueryRow> rows;
  for (int64_t position = first; position < context.tokens; ++position) {
    rows.push_back({.heads = context.queries->at(position).subspan(head * width, width),
                    .position = position});
  }
  std::vector<float> mass(keys.positions.size());
  const std::vector<float> by_distance = biases(context, keys, head);
  kernels::attention_mass({.keys = keys.keys,
                           .positions = keys.positions,
                           .queries = rows,
                           .biases = by_distance,
                           .head_dim = context.head_dim,
                           .group = context.group,
                           .scale = context.attention_scale,
                           .soft_cap = context.attention_soft_cap,
                           .sliding_window = context.sliding_window},
                          mass);
  return mass;
}

LayerEntries read_layer(const PlanContext& context, std::span<const HeadCache> heads) {
  LayerEntries layer{.tokens = context.tokens, .prompt_begin = context.prompt_begin, .heads = {}};
  layer.heads.resize(heads.size());
  const PolicyNeeds needs = context.policy->needs();
  parallel_for(std::ssize(heads), 1, [&](int64_t i) {
    const auto head = static_cast<size_t>(i);
    HeadKeys keys = read_keys(context, heads[head]);
    HeadEntries& entries = layer.heads[head];
    if (needs.key_norms)
      entries.key_norms = norms(keys.keys, static_cast<size_t>(context.head_dim));
    if (needs.last_queries > 0) entries.attention = attention(context, keys, head);
    entries.positions = std::move(keys.positions);
  });
  return layer;
}

}  // namespace

void QueryRing::store(int64_t position, std::span<const float> queries) {
  if (count_ == 0) return;
  if (rows_.empty()) rows_.resize(static_cast<size_t>(count_ * width_));
  std::ranges::copy(queries.first(static_cast<size_t>(width_)),
                    rows_.begin() + position % count_ * width_);
}

void QueryRing::read(ByteReader& in) {
  rows_ = in.list<float>();
  in.require(rows_.empty() || std::ssize(rows_) == count_ * width_, "queries of another number");
}

std::span<const float> QueryRing::at(int64_t position) const {
  return std::span(rows_).subspan(static_cast<size_t>(position % count_ * width_),
                                  static_cast<size_t>(width_));
}

void observe_layer(const PlanContext& context, std::span<const HeadCache> heads) {
  if (context.state == nullptr) return;
  context.policy->observe(read_layer(context, heads), *context.state);
}

void plan_layer(const PlanContext& context, std::span<HeadCache> heads) {
  const LayerEntries layer = read_layer(context, heads);
  if (context.state != nullptr) context.policy->observe(layer, *context.state);
  const EvictionPlan plan = context.policy->plan(layer, context.state);
  ensure(plan.size() == heads.size(), "a plan for each head");
  for (size_t head = 0; head < heads.size(); ++head) {
    const std::vector<int32_t>& positions = layer.heads[head].positions;
    ensure(plan[head].size() == positions.size(), "a plan for each entry");
    std::vector<int32_t> evicted;
    for (size_t i = 0; i < positions.size(); ++i) {
      if (plan[head][i] != 0) evicted.push_back(positions[i]);
    }
    heads[head].evict(evicted, context.tokens);
  }
}

}  // namespace dms::cache
