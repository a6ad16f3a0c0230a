#include "cache/layer_plan.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/euclidean_norm.h"
#include "base/parallel.h"
#include "cache/view.h"
#include "kernels/attention_mass.h"

namespace dms::cache {

StoredRows read_rows(
    const HeadCache& head, int64_t head_dim, int64_t begin, int64_t end, bool with_values) {
  const auto width = static_cast<size_t>(head_dim);
  std::vector<std::pair<int32_t, StoredToken>> tokens;
  head.visit(end, [&](int64_t position, const StoredToken& token) {
    if (position >= begin && position < end) {
      tokens.emplace_back(static_cast<int32_t>(position), token);
    }
  });
  std::ranges::sort(tokens, {}, [](const auto& token) { return token.first; });
  StoredRows rows;
  rows.keys.resize(tokens.size() * width);
  rows.values.resize(with_values ? rows.keys.size() : width);
  for (size_t i = 0; i < tokens.size(); ++i) {
    const auto& [position, token] = tokens[i];
    rows.positions.push_back(position);
    kernels::load_token(token.layout,
                        token.page,
                        token.slot,
                        std::span(rows.keys).subspan(i * width, width),
                        std::span(rows.values).subspan(with_values ? i * width : 0, width));
  }
  if (!with_values) rows.values.clear();
  return rows;
}

namespace {

std::vector<float> norms(std::span<const float> rows, size_t width) {
  std::vector<float> result;
  for (size_t at = 0; at < rows.size(); at += width) {
    result.push_back(static_cast<float>(euclidean_norm(rows.subspan(at, width))));
  }
  return result;
}

/// Of entries' distances from the next token, [group, entries], or empty.
std::vector<float> biases(const PlanContext& context,
                          std::span<const int32_t> positions,
                          size_t head) {
  return kernels::group_alibi_biases(*context.alibi,
                                     static_cast<int64_t>(head) * context.group,
                                     context.group,
                                     context.tokens,
                                     positions);
}

/// Of one head's group; no more than the prompt that has ended is long.
std::vector<kernels::QueryRow> last_queries(const PlanContext& context, size_t head) {
  const int64_t since = context.prompt_begin < context.tokens ? context.prompt_begin : 0;
  const int64_t first = std::max(context.tokens - context.policy->needs().last_queries, since);
  const auto width = static_cast<size_t>(context.group * context.head_dim);
  std::vector<kernels::QueryRow> rows;
  for (int64_t position = first; position < context.tokens; ++position) {
    rows.push_back({.heads = context.queries->at(position).subspan(head * width, width),
                    .position = position});
  }
  return rows;
}

std::vector<float> attention(const PlanContext& context,
                             const StoredRows& entries,
                             size_t head,
                             std::span<const kernels::QueryRow> queries) {
  std::vector<float> mass(entries.positions.size());
  const std::vector<float> by_distance = biases(context, entries.positions, head);
  kernels::attention_mass({.keys = entries.keys,
                           .positions = entries.positions,
                           .queries = queries,
                           .biases = by_distance,
                           .head_dim = context.head_dim,
                           .group = context.group,
                           .scale = context.attention_scale,
                           .soft_cap = context.attention_soft_cap,
                           .sliding_window = context.sliding_window},
                          mass);
  return mass;
}

HeadContents contents_of(const PlanContext& context,
                         size_t head,
                         std::span<const int32_t> positions,
                         std::span<const float> keys,
                         std::span<const float> values) {
  return {.layer = context.layer,
          .head = static_cast<int64_t>(head),
          .head_dim = context.head_dim,
          .group = context.group,
          .tokens = context.tokens,
          .rope_length = context.rope_length,
          .attention_scale = context.attention_scale,
          .attention_soft_cap = context.attention_soft_cap,
          .positions = positions,
          .keys = keys,
          .values = values};
}

/// Entries before it are not ranked: no later query sees them through the sliding window, they are
/// on their way out whatever is planned, and when they are freed depends on chunks.
int64_t first_ranked(const PlanContext& context) {
  const int64_t first = context.policy->first_ranked(context.prompt_begin);
  if (context.sliding_window == 0) return first;
  return std::max(first, context.tokens - context.sliding_window + 1);
}

/// What a plan is to know of one head; what it does not rank still took its share of attention.
/// `ranked`: takes keys and values of what is ranked.
HeadEntries read_head(const PlanContext& context,
                      const HeadCache& cache,
                      size_t head,
                      StoredRows* ranked = nullptr) {
  const PolicyNeeds needs = context.policy->needs();
  const auto head_dim = static_cast<size_t>(context.head_dim);
  const int64_t first = first_ranked(context);
  const int64_t end = context.policy->ranked_end(context.tokens);
  const bool reads_all = needs.last_queries > 0;
  const bool takes_rows = ranked != nullptr && !reads_all;
  StoredRows rows = read_rows(cache,
                              context.head_dim,
                              reads_all ? 0 : first,
                              reads_all ? context.tokens : end,
                              needs.contents || needs.output_norms || takes_rows);
  const auto place_of = [&](int64_t position) {
    return static_cast<size_t>(std::ranges::lower_bound(rows.positions, position) -
                               rows.positions.begin());
  };
  const size_t skipped = place_of(first);
  const size_t count = std::max(place_of(end), skipped) - skipped;
  const auto positions = std::span(rows.positions).subspan(skipped, count);
  const auto keys = std::span(rows.keys).subspan(skipped * head_dim, count * head_dim);
  const auto values = rows.values.empty()
                          ? std::span<const float>{}
                          : std::span(rows.values).subspan(skipped * head_dim, count * head_dim);
  HeadEntries entries{
      .positions = {positions.begin(), positions.end()}, .key_norms = {}, .attention = {}};
  entries.digested = cache.digest().held_entries();
  if (needs.key_norms) entries.key_norms = norms(keys, head_dim);
  const std::vector<kernels::QueryRow> queries = last_queries(context, head);
  if (!queries.empty()) {
    const std::vector<float> all = attention(context, rows, head, queries);
    const auto begin = all.begin() + static_cast<int64_t>(skipped);
    entries.attention.assign(begin, begin + static_cast<int64_t>(count));
  }
  if (needs.contents || needs.replay != ReplayScore::none) {
    std::vector<std::span<const float>> heads;
    for (const kernels::QueryRow& row : queries) heads.push_back(row.heads);
    HeadContents contents = contents_of(context, head, positions, keys, values);
    contents.queries = std::move(heads);
    contents.prompts = context.prompts;
    contents.biases = biases(context, positions, head);
    entries.measured = context.policy->measure(contents, context.state);
  }
  if (needs.output_norms) {
    ensure(context.projection != nullptr, "the model's output projection");
    entries.output_norms = context.projection->norms(static_cast<int64_t>(head), values);
  }
  if (takes_rows) {
    *ranked = std::move(rows);
  } else if (ranked != nullptr) {
    *ranked = read_rows(cache, context.head_dim, first, end, true);
  }
  return entries;
}

/// What goes of each head.
std::vector<std::vector<int32_t>> leaving_positions(const EvictionPlan& plan,
                                                    const LayerEntries& layer) {
  ensure(plan.size() == layer.heads.size(), "a plan for each head");
  std::vector<std::vector<int32_t>> leaving(plan.size());
  for (size_t head = 0; head < plan.size(); ++head) {
    const std::vector<int32_t>& positions = layer.heads[head].positions;
    ensure(plan[head].size() == positions.size(), "a plan for each entry");
    for (size_t i = 0; i < positions.size(); ++i) {
      if (plan[head][i] != 0) leaving[head].push_back(positions[i]);
    }
  }
  return leaving;
}

/// Those of the ranked rows that leave by `plan`, or those that stay.
StoredRows part_of(const StoredRows& ranked, std::span<const uint8_t> plan, bool leave) {
  const size_t width = ranked.positions.empty() ? 0 : ranked.keys.size() / plan.size();
  StoredRows part;
  for (size_t i = 0; i < plan.size(); ++i) {
    if ((plan[i] != 0) != leave) continue;
    part.positions.push_back(ranked.positions[i]);
    for (const auto& [from, to] :
         {std::pair(&ranked.keys, &part.keys), std::pair(&ranked.values, &part.values)}) {
      const auto row = from->begin() + static_cast<int64_t>(i * width);
      to->insert(to->end(), row, row + static_cast<int64_t>(width));
    }
  }
  return part;
}

Digest make_digest(const PlanContext& context,
                   const LayerEntries& layer,
                   size_t head,
                   std::span<const uint8_t> plan,
                   const StoredRows& ranked,
                   const HeadCache& cache) {
  const StoredRows leaving = part_of(ranked, plan, true);
  const StoredRows staying =
      context.policy->far_position(0) ? part_of(ranked, plan, false) : StoredRows{};
  return context.policy->digest(
      {.layer = layer,
       .leaving = contents_of(context, head, leaving.positions, leaving.keys, leaving.values),
       .staying = contents_of(context, head, staying.positions, staying.keys, staying.values),
       .before = cache.digest().load()});
}

std::vector<Digest> make_digests(const PlanContext& context,
                                 const LayerEntries& layer,
                                 const EvictionPlan& plan,
                                 std::span<const StoredRows> ranked,
                                 std::span<const HeadCache> heads) {
  ensure(plan.size() == heads.size(), "a plan for each head");
  std::vector<Digest> digests(heads.size());
  parallel_for(std::ssize(heads), 1, [&](int64_t i) {
    const auto head = static_cast<size_t>(i);
    ensure(plan[head].size() == ranked[head].positions.size(), "a plan for each entry");
    digests[head] = make_digest(context, layer, head, plan[head], ranked[head], heads[head]);
  });
  return digests;
}

}  // namespace

void QueryRing::store(int64_t position,
                      std::span<const float> queries,
                      std::span<const float> keys) {
  if (count_ == 0) return;
  if (rows_.empty()) rows_.resize(static_cast<size_t>(count_ * width_));
  const auto row = rows_.begin() + position % count_ * width_;
  std::ranges::copy(keys, std::ranges::copy(queries, row).out);
}

void QueryRing::read(ByteReader& in) {
  rows_ = in.list<float>();
  in.require(rows_.empty() || std::ssize(rows_) == count_ * width_, "queries of another number");
}

std::span<const float> QueryRing::at(int64_t position) const {
  return std::span(rows_).subspan(static_cast<size_t>(position % count_ * width_),
                                  static_cast<size_t>(width_));
}

LayerEntries read_layer(const PlanContext& context,
                        std::span<const HeadCache> heads,
                        std::vector<StoredRows>* ranked) {
  LayerEntries layer{.tokens = context.tokens, .prompt_begin = context.prompt_begin, .heads = {}};
  layer.heads.resize(heads.size());
  if (ranked != nullptr) ranked->resize(heads.size());
  parallel_for(std::ssize(heads), 1, [&](int64_t i) {
    const auto head = static_cast<size_t>(i);
    layer.heads[head] =
        read_head(context, heads[head], head, ranked == nullptr ? nullptr : &(*ranked)[head]);
  });
  return layer;
}

void observe_layer(const PlanContext& context, std::span<const HeadCache> heads) {
  // Who has been shown every token need not see entries.
  if (context.state == nullptr || context.policy->needs().every_token) return;
  context.policy->observe(read_layer(context, heads), *context.state);
}

void plan_layer(const PlanContext& context, std::span<HeadCache> heads) {
  const bool digests = context.policy->digests();
  std::vector<StoredRows> ranked;
  const LayerEntries layer = read_layer(context, heads, digests ? &ranked : nullptr);
  if (context.state != nullptr) context.policy->observe(layer, *context.state);
  const EvictionPlan plan = context.policy->plan(layer, context.state);
  if (!digests) {
    carry_out(plan, layer, heads);
    return;
  }
  const std::vector<Digest> made = make_digests(context, layer, plan, ranked, heads);
  const std::vector<std::vector<int32_t>> leaving = leaving_positions(plan, layer);
  for (size_t head = 0; head < heads.size(); ++head) {
    heads[head].forget(leaving[head]);
    heads[head].hold(made[head]);
  }
}

void carry_out(const EvictionPlan& plan, const LayerEntries& layer, std::span<HeadCache> heads) {
  const std::vector<std::vector<int32_t>> leaving = leaving_positions(plan, layer);
  for (size_t head = 0; head < heads.size(); ++head) {
    heads[head].evict(leaving[head], layer.tokens);
  }
}

}  // namespace dms::cache
