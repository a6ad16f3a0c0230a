#include "cache/sequence_cache.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <utility>

#include "base/check.h"
#include "base/euclidean_norm.h"

namespace dms::cache {
namespace {

/// `width` floats of the chunk's token `i`.
std::span<const float> row_of(const LayerChunk& chunk,
                              std::span<const float> rows,
                              int64_t i,
                              int64_t width) {
  return rows.subspan(static_cast<size_t>(i * chunk.token_stride), static_cast<size_t>(width));
}

}  // namespace

SequenceCache::SequenceCache(const CacheShape& shape,
                             std::shared_ptr<CachePools> pools,
                             std::shared_ptr<const Policy> policy)
    : shape_(shape), pools_(std::move(pools)), policy_(std::move(policy)), counted_(pools_) {
  // Of what a digest stands for, none is read where it lies.
  int64_t first_near = 0;
  if (policy_->far_position(0)) {
    first_near =
        policy_->digests() ? policy_->first_ranked(0) : std::numeric_limits<int64_t>::max();
  }
  for (int64_t layer = 0; layer < shape.layers; ++layer) {
    LayerState& state = layers_.emplace_back();
    state.visibility = {.window = policy_->window(),
                        .sliding_window = shape.sliding_window.empty()
                                              ? 0
                                              : shape.sliding_window[static_cast<size_t>(layer)],
                        .far_end = first_near,
                        .near_begin = first_near,
                        .positions = shape.alibi.is_used()};
    state.queries = QueryRing(kept_queries(*policy_), ring_width(shape_, *policy_));
    state.policy_state = policy_->new_state();
    const HeadShape head_shape = this->head_shape(layer);
    for (int64_t head = 0; head < shape.kv_heads; ++head) state.heads.emplace_back(head_shape);
  }
}

HeadShape SequenceCache::head_shape(int64_t layer) const {
  const kernels::KvPageLayout window = page_layout(shape_, shape_.window_format);
  const kernels::KvPageLayout survivors = survivor_layout(shape_, layer);
  return {.window_layout = window,
          .survivor_layout = survivors,
          .window_pool = &pools_->pool(window.bytes()),
          .survivor_pool = &pools_->pool(survivors.bytes()),
          .plans = policy_->plans(),
          .digests = policy_->digests()};
}

void SequenceCache::append(const LayerChunk& chunk) {
  LayerState& state = layers_[static_cast<size_t>(chunk.layer)];
  const int64_t head_dim = shape_.head_dim;
  for (int64_t i = 0; i < chunk.count; ++i) {
    for (int64_t head = 0; head < shape_.kv_heads; ++head) {
      const auto at = static_cast<size_t>(i * chunk.token_stride + head * head_dim);
      const auto count = static_cast<size_t>(head_dim);
      state.heads[static_cast<size_t>(head)].store(
          tokens_ + i, chunk.keys.subspan(at, count), chunk.values.subspan(at, count));
    }
  }
  pass_ = {.tokens = chunk.count,
           .ended_prompt = chunk.ended_prompt,
           .decoded = chunk.decoded,
           .rope_length = chunk.rope_length,
           .projection = chunk.projection};
  show_tokens(chunk.layer, tokens_ + chunk.count - kRollbackTokens, &chunk);
  keep_queries(state, chunk);
  settle_fates(state, chunk);
  const int64_t sealed = sealed_end(state, tokens_ + chunk.count);
  for (HeadCache& head : state.heads) head.seal_until(sealed);
}

int64_t SequenceCache::kept_queries(const Policy& policy) {
  const PolicyNeeds needs = policy.needs();
  return needs.every_token ? std::max(needs.last_queries, kRollbackTokens) : needs.last_queries;
}

int64_t SequenceCache::ring_width(const CacheShape& shape, const Policy& policy) {
  return query_width(shape) + (policy.needs().every_token ? shape.kv_heads * shape.head_dim : 0);
}

/// Tokens below `end`: as they are kept, or of a chunk that is not kept yet.
void SequenceCache::show_tokens(int64_t layer, int64_t end, const LayerChunk* chunk) {
  LayerState& state = layers_[static_cast<size_t>(layer)];
  if (!policy_->needs().every_token || end <= state.seen_end) return;
  SeenTokens seen{.layer = layer,
                  .rope_length = pass_.rope_length,
                  .first = state.seen_end,
                  .queries = {},
                  .keys = {}};
  const int64_t query_floats = query_width(shape_);
  const int64_t key_floats = shape_.kv_heads * shape_.head_dim;
  const auto queries = static_cast<size_t>(query_floats);
  for (int64_t position = state.seen_end; position < end; ++position) {
    if (chunk == nullptr || position < tokens_) {
      const std::span<const float> row = state.queries.at(position);
      seen.queries.push_back(row.first(queries));
      seen.keys.push_back(row.subspan(queries));
    } else {
      const int64_t i = position - tokens_;
      seen.queries.push_back(row_of(*chunk, chunk->queries, i, query_floats));
      seen.keys.push_back(row_of(*chunk, chunk->keys, i, key_floats));
    }
  }
  policy_->see(seen, *state.policy_state);
  state.seen_end = end;
}

void SequenceCache::keep_queries(LayerState& state, const LayerChunk& chunk) const {
  const int64_t kept = std::min(state.queries.count(), chunk.count);
  const int64_t queries = query_width(shape_);
  const int64_t keys = ring_width(shape_, *policy_) - queries;
  for (int64_t i = chunk.count - kept; i < chunk.count; ++i) {
    state.queries.store(
        tokens_ + i, row_of(chunk, chunk.queries, i, queries), row_of(chunk, chunk.keys, i, keys));
  }
}

int64_t SequenceCache::exact_tokens(const LayerState& state) const {
  // A token whose fate is still open after a rollback must not have been sealed.
  return std::max(state.visibility.window, policy_->decision_shift());
}

/// Window pages are given back whole, so that to seal whole pages costs no memory, and what a query
/// attends lies in the same places whether it is computed by itself or a few tokens after others.
int64_t SequenceCache::sealed_end(const LayerState& state, int64_t tokens) const {
  const int64_t end = std::max<int64_t>(tokens - exact_tokens(state) - kRollbackTokens, 0);
  return end / kernels::kPageTokens * kernels::kPageTokens;
}

int64_t SequenceCache::draft_limit() const {
  // Of a prompt that ends a few tokens later it needs the queries that others would overwrite.
  if (policy_->plans_at_prompt_end() && policy_->needs().last_queries > 0) return 0;
  const LayerState& state = layers_.front();
  const int64_t next = tokens_ + 1;
  const int64_t seal = sealed_end(state, next) + kernels::kPageTokens;
  const int64_t before_seal = seal + exact_tokens(state) + kRollbackTokens - 1 - next;
  // A plan takes what can't be given back.
  const int64_t before_plan = std::min(pass_limit(), until_multiple(policy_->interval())) - 2;
  return std::max<int64_t>(std::min({before_seal, before_plan, kRollbackTokens}), 0);
}

/// Of the chunk's last tokens from `first` on, [count, kv_heads].
std::vector<float> SequenceCache::key_norms(const LayerChunk& chunk, int64_t first) const {
  std::vector<float> norms;
  for (int64_t i = first - tokens_; i < chunk.count; ++i) {
    for (int64_t head = 0; head < shape_.kv_heads; ++head) {
      const auto at = static_cast<size_t>(i * chunk.token_stride + head * shape_.head_dim);
      const auto key = chunk.keys.subspan(at, static_cast<size_t>(shape_.head_dim));
      norms.push_back(static_cast<float>(euclidean_norm(key)));
    }
  }
  return norms;
}

void SequenceCache::settle_fates(LayerState& state, const LayerChunk& chunk) {
  const int64_t shift = policy_->decision_shift();
  const int64_t end = tokens_ + chunk.count - shift;
  const int64_t begin = std::max(state.decided_end, std::max<int64_t>(tokens_ - shift, 0));
  if (begin >= end) return;
  const int64_t count = end - begin;
  state.decided_end = end;
  if (policy_->plans()) return;
  // Logit row j belongs to token tokens_ + j and settles token tokens_ + j - shift.
  const auto skipped = static_cast<size_t>((begin + shift - tokens_) * shape_.kv_heads);
  const PolicyNeeds needs = policy_->needs();
  std::vector<float> norms;
  if (needs.key_norms) norms = key_norms(chunk, begin);
  std::vector<uint8_t> evict(static_cast<size_t>(count * shape_.kv_heads), 0);
  policy_->decide(
      {.layer = chunk.layer,
       .first = begin,
       .count = count,
       .logits = needs.decision_logits ? chunk.logits.subspan(skipped) : std::span<const float>{},
       .key_norms = norms},
      evict);
  for (int64_t head = 0; head < shape_.kv_heads; ++head) {
    for (int64_t i = 0; i < count; ++i) {
      state.heads[static_cast<size_t>(head)].fates().set(
          begin + i, evict[static_cast<size_t>(head * count + i)] != 0);
    }
  }
}

void SequenceCache::gather(
    int64_t layer, int64_t kv_head, int64_t first, int64_t positions, TilePages& out) const {
  const LayerState& state = layers_[static_cast<size_t>(layer)];
  state.heads[static_cast<size_t>(kv_head)].gather(
      {.first = first, .positions = positions}, state.visibility, out);
}

bool SequenceCache::is_planned(int64_t tokens) const {
  return std::ranges::binary_search(plans_, tokens);
}

/// Whether a plan is due at the end of the pass under way: after all that were carried out before.
bool SequenceCache::needs_plan() const {
  const int64_t end = tokens_ + pass_.tokens;
  if (!plans_.empty() && end <= plans_.back()) return false;
  // A token of an answer is computed again as one of a prompt: what was planned is known.
  if (policy_->digests() && end <= computed_before_) return false;
  const int64_t interval = pass_.decoded ? policy_->interval() : policy_->prompt_interval();
  return (interval > 0 && end % interval == 0) ||
         (policy_->plans_at_prompt_end() && pass_.ended_prompt > 0);
}

void SequenceCache::finish_layer(int64_t layer) {
  LayerState& state = layers_[static_cast<size_t>(layer)];
  for (HeadCache& head : state.heads) head.drop_sealed();
  const int64_t end = tokens_ + pass_.tokens;
  if (failure_ || !(is_planned(end) || needs_plan()) || needs_replay()) return;
  try {
    carry_out_plan(layer, end);
  } catch (...) {  // the pass computes other sequences as well
    fail(std::current_exception());
  }
}

void SequenceCache::carry_out_plan(int64_t layer, int64_t end) {
  LayerState& state = layers_[static_cast<size_t>(layer)];
  const PlanContext context{.policy = policy_.get(),
                            .state = state.policy_state.get(),
                            .layer = layer,
                            .queries = &state.queries,
                            .tokens = end,
                            .prompt_begin = ended_begin(end),
                            .head_dim = shape_.head_dim,
                            .group = shape_.group,
                            .rope_length = pass_.rope_length,
                            .attention_scale = shape_.attention_scale,
                            .attention_soft_cap = shape_.attention_soft_cap,
                            .alibi = &shape_.alibi,
                            .sliding_window = state.visibility.sliding_window,
                            .projection = pass_.projection,
                            .prompts = prompts_};
  show_tokens(layer, end, nullptr);
  if (is_planned(end) && !policy_->digests()) {
    observe_layer(context, state.heads);
    for (HeadCache& head : state.heads) head.evict_again(end);
  } else if (policy_->plans_over_model()) {
    if (layer == 0) entries_.clear();
    plan_over_model(read_layer(context, state.heads));
  } else {
    plan_layer(context, state.heads);
  }
}

/// Where that began which ends after `end` tokens.
int64_t SequenceCache::ended_begin(int64_t end) const {
  if (!policy_->plans_at_prompt_end()) return end;
  if (!policy_->plans_by_chunk()) return end - pass_.ended_prompt;
  const auto plan = std::ranges::lower_bound(plans_, end);
  return plan == plans_.begin() ? 0 : *std::prev(plan);
}

/// When the last layer's are there, so are all.
void SequenceCache::plan_over_model(LayerEntries entries) {
  entries_.push_back(std::move(entries));
  if (entries_.size() < layers_.size()) return;
  const std::vector<LayerEntries> all = std::exchange(entries_, {});
  const std::vector<EvictionPlan> plans = policy_->plan_model(all);
  ensure(plans.size() == layers_.size(), "a plan for each layer");
  for (size_t layer = 0; layer < layers_.size(); ++layer) {
    carry_out(plans[layer], all[layer], layers_[layer].heads);
  }
}

/// Where heads keep as much as they will of a prompt, their pages lie anywhere between free ones.
void SequenceCache::pack_pages() {
  std::vector<PagePool*> sparse;
  for (const auto& [page_bytes, pages] : held_pages()) {
    PagePool& pool = pools_->pool(page_bytes);
    if (pool.is_sparse()) sparse.push_back(&pool);
  }
  for (PagePool* pool : sparse) {
    pool->begin_packing();
    for (int64_t layer = 0; layer < shape_.layers; ++layer) {
      const HeadShape shape = head_shape(layer);
      for (HeadCache& head : layers_[static_cast<size_t>(layer)].heads) {
        if (shape.window_pool == pool) pool->pack(head.window_page_list());
        if (shape.survivor_pool == pool) pool->pack(head.survivor_page_list());
      }
    }
    pool->end_packing();
  }
}

/// Tokens until the next multiple of `interval`; 0: it has none.
int64_t SequenceCache::until_multiple(int64_t interval) const {
  return interval > 0 ? interval - tokens_ % interval : std::numeric_limits<int64_t>::max();
}

int64_t SequenceCache::pass_limit() const {
  const int64_t limit = until_multiple(policy_->prompt_interval());
  const auto next = std::ranges::upper_bound(plans_, tokens_);
  return next == plans_.end() ? limit : std::min(limit, *next - tokens_);
}

void SequenceCache::commit(int64_t count) {
  const bool waits = needs_replay();
  const bool has_planned =
      !waits && !policy_->digests() && (is_planned(tokens_ + count) || needs_plan());
  if (needs_plan() && !waits) plans_.push_back(tokens_ + count);
  note_prompt(tokens_ + count, waits);
  tokens_ += count;
  // A plan counts what queries before it attended, of what they saw.
  const int64_t behind = std::max(kRollbackTokens, policy_->needs().last_queries);
  for (LayerState& state : layers_) {
    if (state.visibility.sliding_window == 0) continue;
    for (HeadCache& head : state.heads) {
      head.expire(tokens_ - behind, state.visibility.sliding_window);
    }
  }
  if (has_planned) pack_pages();
  counted_.set(policy_bytes());
}

bool SequenceCache::can_truncate(int64_t tokens) const {
  if (!plans_.empty() && plans_.back() > tokens) return false;
  // A plan by chunks asks for queries before the rollback, which later ones have overwritten.
  if (tokens < tokens_ && policy_->needs().last_queries > 0) {
    if (policy_->plans_by_chunk()) return false;
    // So does one at an interval's next multiple where prompts have wider ones.
    const int64_t interval = policy_->interval();
    if (interval > 0 && (tokens / interval + 1) * interval < tokens_) return false;
  }
  const int64_t shift = policy_->decision_shift();
  return std::ranges::all_of(layers_, [&](const LayerState& state) {
    return state.seen_end <= tokens && std::ranges::all_of(state.heads, [&](const HeadCache& head) {
             const bool fates_stay =
                 shift == 0 || std::max<int64_t>(tokens - shift, 0) >= head.sealed_end();
             return fates_stay &&
                    head.can_truncate(tokens, exact_tokens(state), state.visibility.sliding_window);
           });
  });
}

void SequenceCache::truncate(int64_t tokens) {
  ensure(tokens <= tokens_ && can_truncate(tokens), "truncation needs recomputation");
  for (LayerState& state : layers_) {
    state.decided_end =
        std::min(state.decided_end, std::max<int64_t>(tokens - policy_->decision_shift(), 0));
    for (HeadCache& head : state.heads) {
      head.truncate(tokens);
      head.fates().clear_from(state.decided_end);
    }
  }
  tokens_ = tokens;
  cut_prompts(prompts_, tokens);
}

void SequenceCache::restart(int64_t tokens) {
  plans_.erase(std::ranges::upper_bound(plans_, tokens), plans_.end());
  cut_prompts(prompts_, tokens);
  replay_from_.reset();
  failure_ = nullptr;
  computed_before_ = tokens;
  for (LayerState& state : layers_) {
    state.decided_end =
        std::min(state.decided_end, std::max<int64_t>(tokens - policy_->decision_shift(), 0));
    if (policy_->plans()) state.decided_end = 0;
    state.seen_end = 0;
    if (state.policy_state) state.policy_state->restart();
    state.queries = QueryRing(kept_queries(*policy_), ring_width(shape_, *policy_));
    for (HeadCache& head : state.heads) {
      head.restart(tokens);
      head.fates().clear_from(state.decided_end);
    }
  }
  tokens_ = 0;
  counted_.set(policy_bytes());
}

std::unique_ptr<SequenceCache> SequenceCache::fork() const {
  pools_->budget().require(counted_.bytes());
  auto copy = std::make_unique<SequenceCache>(shape_, pools_, policy_);
  copy->tokens_ = tokens_;
  copy->plans_ = plans_;
  copy->computed_before_ = computed_before_;
  copy->prompts_ = prompts_;
  for (size_t layer = 0; layer < layers_.size(); ++layer) {
    copy->layers_[layer].decided_end = layers_[layer].decided_end;
    copy->layers_[layer].seen_end = layers_[layer].seen_end;
    copy->layers_[layer].queries = layers_[layer].queries;
    if (layers_[layer].policy_state) {
      copy->layers_[layer].policy_state = layers_[layer].policy_state->fork();
    }
    for (size_t head = 0; head < layers_[layer].heads.size(); ++head) {
      copy->layers_[layer].heads[head] = layers_[layer].heads[head].fork();
    }
  }
  copy->counted_.set(copy->policy_bytes());
  return copy;
}

std::unique_ptr<SequenceCache> SequenceCache::fork_decisions() const {
  auto copy = std::make_unique<SequenceCache>(shape_, pools_, policy_);
  copy->plans_ = plans_;
  copy->prompts_ = prompts_;
  for (size_t layer = 0; layer < layers_.size(); ++layer) {
    copy->layers_[layer].decided_end = layers_[layer].decided_end;
    for (size_t head = 0; head < layers_[layer].heads.size(); ++head) {
      copy->layers_[layer].heads[head].take_decisions(layers_[layer].heads[head]);
    }
  }
  copy->restart(tokens_);
  return copy;
}

void SequenceCache::write(ByteWriter& out) const {
  out.value(tokens_);
  out.list(std::span(plans_));
  if (policy_->needs().prompts) out.list(std::span(prompts_));
  for (const LayerState& state : layers_) {
    out.value(state.decided_end);
    if (policy_->needs().every_token) out.value(state.seen_end);
    if (state.policy_state) state.policy_state->write(out);
    // Queries of an interval under way; those of a prompt are computed with its end.
    if (saves_queries()) state.queries.write(out);
    for (const HeadCache& head : state.heads) head.write(out);
  }
}

void SequenceCache::read(ByteReader& in, int64_t tokens) {
  ensure(tokens_ == 0, "a cache is read once");
  tokens_ = in.number(tokens, tokens, "the number of tokens");
  plans_ = in.list<int64_t>();
  const bool is_rising =
      std::ranges::adjacent_find(plans_, std::ranges::greater_equal()) == plans_.end();
  const bool is_inside = plans_.empty() || (plans_.front() > 0 && plans_.back() <= tokens_);
  in.require(is_rising && is_inside && (plans_.empty() || policy_->plans()),
             "plans that this sequence can't have had");
  if (policy_->needs().prompts) prompts_ = read_prompts(in, tokens_, tokens_);
  for (LayerState& state : layers_) {
    state.decided_end = in.number(0, tokens_, "the number of decisions");
    if (policy_->needs().every_token) {
      state.seen_end = in.number(std::max<int64_t>(tokens_ - kept_queries(*policy_), 0),
                                 tokens_,
                                 "the number of tokens seen");
    }
    if (state.policy_state) state.policy_state->read(in);
    if (saves_queries()) state.queries.read(in);
    if (policy_->needs().every_token) {
      in.require(state.queries.bytes() > 0 || state.seen_end == tokens_, "queries are missing");
    }
    for (HeadCache& head : state.heads) {
      head.read(in, tokens_, state.decided_end, plans_);
      in.require(head.sealed_end() <= state.decided_end, "tokens without a decision are sealed");
      in.require(policy_->far_position(0) || head.digest().shifted_end() == 0,
                 "a digest at places that this policy does not shift");
    }
  }
  pools_->budget().require(policy_bytes());
  counted_.set(policy_bytes());
}

std::vector<uint8_t> SequenceCache::decisions() const {
  std::vector<uint8_t> out;
  out.reserve(static_cast<size_t>(tokens_ * shape_.layers * shape_.kv_heads));
  for (const LayerState& state : layers_) {
    for (const HeadCache& head : state.heads) {
      for (int64_t i = 0; i < tokens_; ++i) {
        out.push_back(i < state.decided_end && head.fates().is_evicted(i) ? 1 : 0);
      }
    }
  }
  return out;
}

}  // namespace dms::cache
