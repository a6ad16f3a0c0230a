#include "cpu/cpu_model.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/check.h"
#include "cpu/cpu_sequence.h"
#include "cpu/fingerprint.h"
#include "cpu/replay.h"
#include "cpu/rotations.h"
#include "engine/kv_ratios.h"
#include "policy/turn_table.h"

namespace dms::cpu {
namespace {

/// Ids and positions are 32-bit where they are stored.
constexpr int64_t kMaxTokens = std::numeric_limits<int32_t>::max();

/// Where no key is read from further away than the context, whatever the sequence's length, it may
/// grow on.
int64_t longest_sequence(const cache::Policy& source, int64_t context) {
  const std::optional<int64_t> far = source.far_position(kMaxTokens);
  return far && *far < context && source.window() < context ? kMaxTokens : context;
}

bool replays(const cache::Policy& policy) {
  return policy.needs().replay != cache::ReplayScore::none;
}

class Plan final : public engine::SequencePlan {
 public:
  Plan(cache::CacheShape cache_shape,
       policy::PolicyPtr policy,
       int64_t preallocate,
       int64_t context,
       std::string name,
       int64_t replayed)
      : shape(std::move(cache_shape)),
        source(std::move(policy)),
        state(source->new_state()),
        preallocate_tokens(preallocate),
        max_tokens_(longest_sequence(*source, context)),
        name_(std::move(name)),
        replayed_(replayed) {}

  int64_t max_tokens() const override { return max_tokens_; }
  int64_t window_tokens() const override { return source->window(); }
  const std::string& name() const override { return name_; }
  bool shares_prefixes() const override { return source->shares_prefixes(); }
  int64_t expected_bytes(int64_t tokens) const override {
    int64_t bytes = 0;
    for (const auto& [page_bytes, pages] :
         cache::expected_pages(shape, *source, tokens + std::min(tokens, replayed_))) {
      bytes += page_bytes * pages;
    }
    return bytes + copied_bytes(tokens);
  }
  int64_t copied_bytes(int64_t tokens) const override {
    return cache::SequenceCache::most_policy_bytes(shape, *source, state.get(), tokens);
  }

  const cache::CacheShape shape;
  const policy::PolicyPtr source;
  const std::unique_ptr<const cache::PolicyState> state;  // of a layer, that has seen nothing
  const int64_t preallocate_tokens;

 private:
  int64_t max_tokens_;
  std::string name_;
  int64_t replayed_;  // tokens of a prompt that are repeated at a time; 0: none are
};

/// All that decides what is held of given tokens.
std::string plan_name(const ModelSpec& spec,
                      const CacheOptions& options,
                      const cache::CacheShape& shape,
                      int64_t window) {
  std::string name = fmt::format("{} window={} kv={} exact={}",
                                 policy_name(spec, options),
                                 window,
                                 kernels::page_format_name(shape.survivor_format),
                                 shape.exact_layers);
  for (const auto& [key, value] : options.policy_args) name += fmt::format(" {}={}", key, value);
  return options.decisions_file.empty() ? name : name + " " + options.decisions_file.string();
}

cache::SequenceCache& cache_of(const engine::Part& part) {
  return static_cast<CpuSequence*>(part.sequence)->cache();
}

void add_held(const std::vector<std::vector<int64_t>>& held,
              std::vector<std::vector<int64_t>>& sum) {
  sum.resize(held.size());
  for (size_t layer = 0; layer < held.size(); ++layer) {
    sum[layer].resize(held[layer].size());
    std::ranges::transform(held[layer], sum[layer], sum[layer].begin(), std::plus());
  }
}

model::LogitRows rows_of(engine::LogitRows rows) {
  switch (rows) {
    case engine::LogitRows::none:
      return model::LogitRows::none;
    case engine::LogitRows::last:
      return model::LogitRows::last;
    case engine::LogitRows::all:
      break;
  }
  return model::LogitRows::all;
}

}  // namespace

std::shared_ptr<const engine::SequencePlan> make_plan(
    const ModelSpec& spec,
    const ResolvedModelOptions& model,
    const CacheOptions& options,
    std::shared_ptr<const policy::TurnTables> turns) {
  cache::CacheShape shape = cache_shape(spec, model, options);
  policy::PolicyPtr policy = make_policy(spec, options, std::move(turns));
  std::string name = plan_name(spec, options, shape, policy->window());
  int64_t context = spec.context;
  int64_t replayed = 0;
  if (replays(*policy)) {
    const ReplayPrompt prompt = replay_prompt(spec, model, policy_name(spec, options));
    context = prompt.longest_context(context);
    replayed = prompt.chunk;
  }
  return std::make_shared<Plan>(std::move(shape),
                                std::move(policy),
                                options.preallocate_tokens,
                                context,
                                std::move(name),
                                replayed);
}

std::shared_ptr<const engine::SequencePlan> make_plan(const ModelSpec& spec,
                                                      const ResolvedModelOptions& model,
                                                      const CacheOptions& options) {
  return make_plan(spec, model, options, nullptr);
}

CpuModel::CpuModel(ModelSpec spec,
                   model::DecoderWeights weights,
                   const ResolvedModelOptions& options)
    : options_(options),
      decoder_(std::move(spec), std::move(weights), options.compute),
      turns_(std::make_shared<const policy::TurnTables>(rotations_of(decoder_.spec()))),
      pools_(std::make_shared<cache::CachePools>(options.kv_memory_bytes)) {}

int64_t CpuModel::length_border(int64_t length) const {
  const RopeSpec& rope = decoder_.spec().rope;
  const bool depends = decoder_.spec().position == PositionKind::rope && rope.depends_on_length() &&
                       length <= rope.original_context;
  return depends ? rope.original_context : kMaxTokens;
}

std::shared_ptr<const engine::SequencePlan> CpuModel::plan(const CacheOptions& options) const {
  return make_plan(decoder_.spec(), options_, options, turns_);
}

std::unique_ptr<cache::SequenceCache> CpuModel::new_cache(const engine::SequencePlan& plan) {
  const auto* ours = dynamic_cast<const Plan*>(&plan);
  ensure(ours != nullptr, "a plan of this model");
  // With the last sequence went what was reserved for it, and the highest use so far.
  if (pools_.use_count() == 1) {
    pools_ = std::make_shared<cache::CachePools>(options_.kv_memory_bytes);
  }
  auto cache = std::make_unique<cache::SequenceCache>(ours->shape, pools_, ours->source);
  if (ours->preallocate_tokens > 0) cache->preallocate(ours->preallocate_tokens);
  return cache;
}

std::unique_ptr<engine::SequenceState> CpuModel::new_sequence(
    std::shared_ptr<const engine::SequencePlan> plan) {
  return std::make_unique<CpuSequence>(new_cache(*plan));
}

std::unique_ptr<engine::SequenceState> CpuModel::read_sequence(
    std::shared_ptr<const engine::SequencePlan> plan, ByteReader& in, int64_t tokens) {
  std::unique_ptr<cache::SequenceCache> cache = new_cache(*plan);
  cache->read(in, tokens);
  return std::make_unique<CpuSequence>(std::move(cache));
}

std::string CpuModel::fingerprint() const {
  const ModelSpec& spec = decoder_.spec();
  return fmt::format("{} {}x{} heads {}/{}x{} vocab {} theta {} {} weights {} sums {:08x} {:08x}",
                     spec.model_type,
                     spec.layers,
                     spec.hidden,
                     spec.q_heads,
                     spec.kv_heads,
                     spec.head_dim,
                     spec.vocab,
                     spec.rope.theta,
                     dtype_name(options_.dtype),
                     kernels::weight_format_name(options_.weight_format),
                     sum_of(spec),
                     sum_of(decoder_.weights()));
}

std::vector<cache::Growth> CpuModel::growth_of(std::span<const engine::Part> parts) const {
  std::vector<cache::Growth> growth;
  for (const engine::Part& part : parts) {
    const cache::SequenceCache& cache = cache_of(part);
    cache::Growth& added = growth.emplace_back();
    added = {.cache = &cache, .tokens = std::ssize(part.ids)};
    const int64_t end = cache.tokens() + added.tokens;
    const bool ends_prompt = part.ended_prompt > 0 && replays(cache.policy());
    if (!ends_prompt && !cache.replays_again(end)) continue;
    added.branch_tokens = options_.replay_prompt().repetition_tokens(end);
  }
  return growth;
}

bool CpuModel::reserve(std::span<const engine::Part> parts) {
  return cache::reserve_memory(growth_of(parts));
}

engine::KvMemory CpuModel::memory() const {
  return {.limit_bytes = options_.kv_memory_bytes,
          .used_bytes = pools_->used_bytes(),
          .peak_bytes = pools_->budget().peak_bytes};
}

MemoryShortage CpuModel::shortage(std::span<const engine::Part> parts) const {
  return cache::memory_shortage(growth_of(parts));
}

std::span<const float> CpuModel::forward(std::span<const engine::Part> parts) {
  std::vector<model::Segment> segments;
  for (const engine::Part& part : parts) {
    segments.push_back({.cache = &cache_of(part),
                        .ids = part.ids,
                        .logits = rows_of(part.logits),
                        .prompt_tokens = part.length,
                        .ended_prompt = part.ended_prompt,
                        .decoded = part.decoded,
                        .one_by_one = part.drafted > 0});
  }
  const std::span<const float> logits = decoder_.forward(segments);
  if (std::ranges::none_of(parts, [](const engine::Part& part) {
        return cache_of(part).replay_from().has_value();
      })) {
    return logits;
  }
  logits_.assign(logits.begin(), logits.end());  // a replay has others
  for (const engine::Part& part : parts) {
    try {
      replay(part);
    } catch (...) {  // the others have their logits
      cache_of(part).fail(std::current_exception());
    }
  }
  return logits_;
}

void CpuModel::replay(const engine::Part& part) {
  auto& sequence = static_cast<CpuSequence&>(*part.sequence);
  const std::optional<int64_t> first = sequence.cache().replay_from();
  if (!first) return;
  std::vector<int32_t> ids(part.before.begin(), part.before.end());
  ids.insert(ids.end(), part.ids.begin(), part.ids.end());
  ensure(std::ssize(ids) == sequence.tokens(), "all tokens of a sequence that is replayed");
  const cache::PolicyNeeds needs = sequence.cache().policy().needs();
  Replay replay(*this, decoder_.spec(), options_.replay_prompt(), needs.replay);
  const std::vector<float> scores = replay.repeat(
      sequence, ids, *first, part.length, {.begin = 0, .end = decoder_.spec().layers});
  sequence.cache().finish_plan(scores);
}

KvStats CpuModel::usage(std::span<const engine::SequenceState* const> sequences) const {
  KvStats stats;
  int64_t peak_page_bytes = 0;
  for (const engine::SequenceState* sequence : sequences) {
    const cache::CacheUsage usage = static_cast<const CpuSequence*>(sequence)->cache().usage();
    stats.dense_tokens += usage.dense_tokens;
    stats.held_tokens += usage.held_tokens;
    stats.dense_bytes += usage.dense_bytes;
    stats.allocated_bytes += usage.allocated_bytes;
    stats.peak_bytes += usage.peak_table_bytes;
    peak_page_bytes = std::max(peak_page_bytes, usage.peak_page_bytes);
    add_held(usage.held_per_head, stats.held_per_head);
  }
  stats.peak_bytes += peak_page_bytes;
  engine::set_ratios(stats);
  return stats;
}

}  // namespace dms::cpu
