#include "support/plain_model.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <utility>

#include "base/check.h"
#include "engine/kv_ratios.h"

namespace dms::testing_support {
namespace {

class Plan final : public engine::SequencePlan {
 public:
  Plan(PlainPolicy plain_policy, const CacheOptions& options, int64_t token_bytes)
      : policy(std::move(plain_policy)),
        preallocate_tokens(options.preallocate_tokens),
        name_(options.policy + " " + std::to_string(policy.window)),
        token_bytes_(token_bytes) {
    for (const auto& [key, value] : options.policy_args) name_ += " " + key + "=" + value;
  }
  int64_t max_tokens() const override { return policy.max_tokens; }
  int64_t window_tokens() const override { return policy.window; }
  const std::string& name() const override { return name_; }
  bool shares_prefixes() const override { return true; }
  int64_t expected_bytes(int64_t tokens) const override { return tokens * token_bytes_; }

  const PlainPolicy policy;
  const int64_t preallocate_tokens;

 private:
  std::string name_;
  int64_t token_bytes_;
};

const Plan& plan_of(const engine::SequencePlan& plan) {
  const auto* ours = dynamic_cast<const Plan*>(&plan);
  ensure(ours != nullptr, "a plan of this model");
  return *ours;
}

void write_past(const PlainPast& past, ByteWriter& out) {
  for (const auto& layer : past.layers) {
    for (const PlainHead& head : layer) {
      out.list(std::span(head.fates));
      out.list(std::span(head.keys));
      out.list(std::span(head.values));
    }
  }
}

void read_head(ByteReader& in, int64_t values, PlainHead& head) {
  head.fates = in.list<uint8_t>();
  head.keys = in.list<float>();
  head.values = in.list<float>();
  in.require(std::ssize(head.keys) == values && std::ssize(head.values) == values,
             "another number of keys or values");
  in.require(std::ranges::all_of(head.fates, [](uint8_t fate) { return fate <= 1; }),
             "a fate that is none");
}

}  // namespace

struct PlainModel::Memory {
  int64_t used_bytes = 0;
  int64_t peak_bytes = 0;
};

class PlainModel::State final : public engine::SequenceState {
 public:
  State(const PlainModel& model, std::shared_ptr<const Plan> plan, PlainPast past)
      : past_(std::move(past)),
        plan_(std::move(plan)),
        memory_(model.memory_),
        token_bytes_(PlainPast::token_bytes(model.decoder_.spec())),
        spec_(model.decoder_.spec()),
        rollback_tokens_(model.options_.rollback_tokens) {
    count_bytes(past_.tokens);
  }
  State(const State& other)
      : SequenceState(other),
        past_(other.past_),
        plan_(other.plan_),
        memory_(other.memory_),
        token_bytes_(other.token_bytes_),
        spec_(other.spec_),
        rollback_tokens_(other.rollback_tokens_) {
    count_bytes(past_.tokens);
  }
  State& operator=(const State&) = delete;
  ~State() override { count_bytes(-past_.tokens); }

  int64_t tokens() const override { return past_.tokens; }
  int64_t held_bytes() const override { return past_.tokens * token_bytes_; }
  int64_t draft_limit() const override { return rollback_tokens_; }
  bool can_truncate(int64_t tokens) const override {
    return past_.tokens - tokens <= rollback_tokens_;
  }
  void truncate(int64_t tokens) override {
    ensure(tokens <= past_.tokens && can_truncate(tokens), "truncation needs recomputation");
    forget(tokens, tokens);
  }
  void restart(int64_t tokens) override { forget(0, tokens); }
  std::unique_ptr<SequenceState> fork() const override { return std::make_unique<State>(*this); }
  void write(ByteWriter& out) const override { write_past(past_, out); }
  std::vector<uint8_t> decisions() const override;
  std::vector<int32_t> held_heads() const override;

  void append(const PlainDecoder& decoder, const engine::Part& part, Floats& logits);
  /// Entries that a query at the last token sees, [layers][kv_heads].
  std::vector<std::vector<int64_t>> held() const;

 private:
  /// Calls `visit` for each entry that a query at the last token sees.
  void for_each_held(
      const std::function<void(size_t layer, size_t head, int64_t key)>& visit) const;
  /// Keeps the entries of the first `entries` tokens and what was decided by the first `deciding`.
  void forget(int64_t entries, int64_t deciding);
  void count_bytes(int64_t tokens) {
    memory_->used_bytes += tokens * token_bytes_;
    memory_->peak_bytes = std::max(memory_->peak_bytes, memory_->used_bytes);
  }

  PlainPast past_;
  std::shared_ptr<const Plan> plan_;
  std::shared_ptr<Memory> memory_;
  int64_t token_bytes_;
  const ModelSpec& spec_;
  int64_t rollback_tokens_;
};

void PlainModel::State::forget(int64_t entries, int64_t deciding) {
  const int64_t settled = std::max<int64_t>(deciding - plan_->policy.shift, 0);
  for (auto& layer : past_.layers) {
    for (PlainHead& head : layer) {
      head.keys.resize(static_cast<size_t>(entries * spec_.head_dim));
      head.values.resize(static_cast<size_t>(entries * spec_.head_dim));
      head.fates.resize(static_cast<size_t>(std::min(settled, std::ssize(head.fates))));
    }
  }
  count_bytes(entries - past_.tokens);
  past_.tokens = entries;
}

std::vector<uint8_t> PlainModel::State::decisions() const {
  std::vector<uint8_t> all;
  for (const auto& layer : past_.layers) {
    for (const PlainHead& head : layer) {
      std::vector<uint8_t> fates = head.fates;
      fates.resize(static_cast<size_t>(past_.tokens), 0);
      all.insert(all.end(), fates.begin(), fates.end());
    }
  }
  return all;
}

void PlainModel::State::append(const PlainDecoder& decoder,
                               const engine::Part& part,
                               Floats& logits) {
  for (size_t i = 0; i < part.ids.size(); ++i) {
    const Floats hidden = decoder.append(part.ids[i], part.length, plan_->policy, past_);
    count_bytes(1);
    const bool is_last = i + 1 == part.ids.size();
    if (part.logits == engine::LogitRows::none) continue;
    if (part.logits == engine::LogitRows::last && !is_last) continue;
    const Floats row = decoder.logits(hidden);
    logits.insert(logits.end(), row.begin(), row.end());
  }
}

void PlainModel::State::for_each_held(
    const std::function<void(size_t layer, size_t head, int64_t key)>& visit) const {
  for (size_t layer = 0; layer < past_.layers.size(); ++layer) {
    const int64_t sliding = spec_.sliding_window_at(static_cast<int64_t>(layer));
    for (size_t head = 0; head < past_.layers[layer].size(); ++head) {
      const std::vector<uint8_t>& fates = past_.layers[layer][head].fates;
      for (int64_t key = 0; key < past_.tokens; ++key) {
        const bool is_evicted = key < std::ssize(fates) && fates[static_cast<size_t>(key)] != 0;
        const int64_t last = past_.tokens - 1;
        if (plan_->policy.sees(last, key, is_evicted, sliding)) visit(layer, head, key);
      }
    }
  }
}

std::vector<std::vector<int64_t>> PlainModel::State::held() const {
  std::vector<std::vector<int64_t>> held(
      past_.layers.size(), std::vector<int64_t>(static_cast<size_t>(spec_.kv_heads), 0));
  for_each_held([&](size_t layer, size_t head, int64_t) { ++held[layer][head]; });
  return held;
}

std::vector<int32_t> PlainModel::State::held_heads() const {
  std::vector<int32_t> counts(static_cast<size_t>(past_.tokens), 0);
  for_each_held([&](size_t, size_t, int64_t key) { ++counts[static_cast<size_t>(key)]; });
  return counts;
}

PlainModel::PlainModel(const ModelSpec& spec, const WeightSource& source, PlainModelOptions options)
    : decoder_(spec, source), options_(options), memory_(std::make_shared<Memory>()) {}

int64_t PlainModel::length_border(int64_t length) const {
  const RopeSpec& rope = decoder_.spec().rope;
  const bool is_short = length <= rope.original_context;
  return rope.scaling == RopeScaling::dynamic && is_short ? rope.original_context
                                                          : std::numeric_limits<int64_t>::max();
}

std::shared_ptr<const engine::SequencePlan> PlainModel::plan(const CacheOptions& options) const {
  return std::make_shared<Plan>(
      plain_policy(decoder_.spec(), options), options, PlainPast::token_bytes(decoder_.spec()));
}

void PlainModel::check_room(int64_t tokens) const {
  const int64_t bytes = tokens * PlainPast::token_bytes(decoder_.spec());
  if (options_.memory_bytes == 0 || memory_->used_bytes + bytes <= options_.memory_bytes) return;
  throw MemoryShortage({.where = "KV memory", .what = "limit reached"});
}

std::unique_ptr<engine::SequenceState> PlainModel::new_sequence(
    std::shared_ptr<const engine::SequencePlan> plan) {
  check_room(plan_of(*plan).preallocate_tokens);
  return std::make_unique<State>(
      *this, std::static_pointer_cast<const Plan>(plan), PlainPast::empty(decoder_.spec()));
}

std::unique_ptr<engine::SequenceState> PlainModel::read_sequence(
    std::shared_ptr<const engine::SequencePlan> plan, ByteReader& in, int64_t tokens) {
  const Plan& ours = plan_of(*plan);
  const ModelSpec& spec = decoder_.spec();
  check_room(tokens);
  PlainPast past = PlainPast::empty(spec);
  past.tokens = tokens;
  const int64_t settled = std::max<int64_t>(tokens - ours.policy.shift, 0);
  for (auto& layer : past.layers) {
    for (PlainHead& head : layer) {
      read_head(in, tokens * spec.head_dim, head);
      in.require(std::ssize(head.fates) == settled, "another number of fates");
    }
  }
  return std::make_unique<State>(
      *this, std::static_pointer_cast<const Plan>(plan), std::move(past));
}

std::string PlainModel::fingerprint() const { return "plain " + decoder_.spec().model_type; }

int64_t PlainModel::bytes_after(std::span<const engine::Part> parts) const {
  int64_t tokens = 0;
  for (const engine::Part& part : parts) tokens += std::ssize(part.ids);
  return memory_->used_bytes + tokens * PlainPast::token_bytes(decoder_.spec());
}

bool PlainModel::reserve(std::span<const engine::Part> parts) {
  return options_.memory_bytes == 0 || bytes_after(parts) <= options_.memory_bytes;
}

engine::KvMemory PlainModel::memory() const {
  return {.limit_bytes = options_.memory_bytes,
          .used_bytes = memory_->used_bytes,
          .peak_bytes = memory_->peak_bytes};
}

MemoryShortage PlainModel::shortage(std::span<const engine::Part> parts) const {
  return MemoryShortage({.where = "KV memory",
                         .what = "limit reached",
                         .got = std::to_string(bytes_after(parts)) + " bytes for the next step",
                         .expected = "at most " + std::to_string(options_.memory_bytes)});
}

std::span<const float> PlainModel::forward(std::span<const engine::Part> parts) {
  ensure(reserve(parts), "a pass that found room");
  logits_.clear();
  for (const engine::Part& part : parts) {
    static_cast<State*>(part.sequence)->append(decoder_, part, logits_);
  }
  return logits_;
}

KvStats PlainModel::usage(std::span<const engine::SequenceState* const> sequences) const {
  const ModelSpec& spec = decoder_.spec();
  KvStats stats;
  stats.held_per_head.assign(static_cast<size_t>(spec.layers),
                             std::vector<int64_t>(static_cast<size_t>(spec.kv_heads), 0));
  for (const engine::SequenceState* sequence : sequences) {
    const auto held = static_cast<const State*>(sequence)->held();
    for (size_t layer = 0; layer < held.size(); ++layer) {
      for (size_t head = 0; head < held[layer].size(); ++head) {
        stats.held_per_head[layer][head] += held[layer][head];
        stats.held_tokens += held[layer][head];
      }
    }
    stats.dense_tokens += sequence->tokens() * spec.layers * spec.kv_heads;
    stats.dense_bytes += sequence->tokens() * PlainPast::token_bytes(spec);
  }
  stats.allocated_bytes = stats.dense_bytes;
  stats.peak_bytes = memory_->peak_bytes;
  engine::set_ratios(stats);
  return stats;
}

}  // namespace dms::testing_support
