#pragma once
// Any model, watched and made to fail: it says what was asked of it, remembers which tokens each
// sequence was computed from, and ends passes, spoils logits or refuses memory where it is told to.

#include <algorithm>
#include <exception>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "engine/model.h"

namespace dms::testing_support {

class WatchedModel final : public engine::Model {
 public:
  using Ids = std::vector<int32_t>;

  /// `model` outlives it.
  explicit WatchedModel(engine::Model& model) : model_(model) {}

  // What the tests set.
  int64_t limit_tokens = 0;                                  // of all sequences together; 0: none
  bool has_room_to_read = true;                              // for sequences that come back
  std::set<int64_t> failing_passes;                          // that end half-way; counted from 1
  std::function<bool(std::span<const int32_t>)> is_spoilt =  // of these ids' last, logits are NaN
      [](std::span<const int32_t>) { return false; };
  // A sequence of these ids goes wrong, and no other of its pass.
  std::function<bool(std::span<const int32_t>)> is_failing = [](std::span<const int32_t>) {
    return false;
  };
  // Whether free memory serves what is expected, where there are as many bytes.
  std::function<bool(std::span<const engine::Expectation>)> places =
      [](std::span<const engine::Expectation>) { return true; };
  bool is_silent = false;  // usage(), fork(), write() and restart() fail: so does a device
  // What they look at.
  std::vector<std::vector<int64_t>> passes;  // tokens of each part
  int64_t live_tokens = 0;
  int64_t live_sequences = 0;
  int64_t refused_reads = 0;
  mutable int64_t border_questions = 0;

  static constexpr int64_t kRollbackTokens = 4;  // going back further needs recomputation

  int64_t vocab() const override { return model_.vocab(); }
  int64_t context() const override { return model_.context(); }
  int64_t length_border(int64_t length) const override {
    ++border_questions;
    return model_.length_border(length);
  }
  std::shared_ptr<const engine::SequencePlan> plan(const CacheOptions& options) const override {
    return std::make_shared<Plan>(model_.plan(options));
  }
  std::unique_ptr<engine::SequenceState> new_sequence(
      std::shared_ptr<const engine::SequencePlan> plan) override {
    return std::make_unique<State>(*this, model_.new_sequence(inner(plan)), Ids());
  }
  std::unique_ptr<engine::SequenceState> read_sequence(
      std::shared_ptr<const engine::SequencePlan> plan, ByteReader& in, int64_t tokens) override {
    Ids ids = in.list<int32_t>();
    in.require(std::ssize(ids) == tokens, "another number of tokens");
    if (!has_room_to_read) {
      ++refused_reads;
      throw MemoryShortage({.where = "KV memory", .what = "limit reached"});
    }
    return std::make_unique<State>(
        *this, model_.read_sequence(inner(plan), in, tokens), std::move(ids));
  }
  std::string fingerprint() const override { return model_.fingerprint(); }

  bool reserve(std::span<const engine::Part> parts) override {
    int64_t wanted = live_tokens;
    for (const engine::Part& part : parts) wanted += std::ssize(part.ids);
    return (limit_tokens == 0 || wanted <= limit_tokens) && model_.reserve(inner(parts));
  }
  /// As limit_tokens, a byte for each.
  engine::KvMemory memory() const override {
    return {.limit_bytes = limit_tokens, .used_bytes = live_tokens, .peak_bytes = 0};
  }
  bool can_place(std::span<const engine::Expectation> expected) const override {
    return places(expected);
  }
  MemoryShortage shortage(std::span<const engine::Part>) const override {
    return MemoryShortage({.where = "KV memory", .what = "limit reached"});
  }

  std::span<const float> forward(std::span<const engine::Part> parts) override {
    ensure(reserve(parts), "a pass that found room");
    passes.emplace_back();
    for (const engine::Part& part : parts) passes.back().push_back(std::ssize(part.ids));
    std::vector<engine::Part> asked = inner(parts);
    if (failing_passes.contains(std::ssize(passes))) fail_half_way(parts, asked);
    for (const engine::Part& part : parts) take(part, part.ids);
    const std::span<const float> logits = model_.forward(asked);
    logits_.assign(logits.begin(), logits.end());
    spoil(parts);
    for (const engine::Part& part : parts) {
      auto& state = static_cast<State&>(*part.sequence);
      state.is_broken = is_failing(state.ids);
    }
    return logits_;
  }

  double attention_seconds() const override { return model_.attention_seconds(); }
  KvStats usage(std::span<const engine::SequenceState* const> sequences) const override {
    ask();
    std::vector<const engine::SequenceState*> states;
    for (const auto* sequence : sequences) {
      states.push_back(static_cast<const State*>(sequence)->model_state.get());
    }
    return model_.usage(states);
  }

  /// What a sequence was computed from.
  static const Ids& computed(const engine::SequenceState& state) {
    return static_cast<const State&>(state).ids;
  }
  /// The length its RoPE was fixed for.
  static int64_t length_fixed_for(const engine::SequenceState& state) {
    return static_cast<const State&>(state).length.value();
  }

 private:
  struct Plan final : engine::SequencePlan {
    explicit Plan(std::shared_ptr<const SequencePlan> plan) : model_plan(std::move(plan)) {}
    int64_t max_tokens() const override { return model_plan->max_tokens(); }
    int64_t window_tokens() const override { return model_plan->window_tokens(); }
    const std::string& name() const override { return model_plan->name(); }
    bool shares_prefixes() const override { return model_plan->shares_prefixes(); }
    int64_t expected_bytes(int64_t tokens) const override { return tokens; }
    std::shared_ptr<const SequencePlan> model_plan;
  };

  struct State final : engine::SequenceState {
    State(WatchedModel& w, std::unique_ptr<SequenceState> s, Ids i)
        : watcher(w), model_state(std::move(s)), ids(std::move(i)) {
      watcher.live_tokens += std::ssize(ids);
      ++watcher.live_sequences;
    }
    ~State() override {
      resize(0);
      --watcher.live_sequences;
    }
    int64_t tokens() const override { return model_state->tokens(); }
    int64_t held_bytes() const override { return tokens(); }
    int64_t draft_limit() const override {
      return std::min(kRollbackTokens, model_state->draft_limit());
    }
    bool can_truncate(int64_t tokens) const override {
      return this->tokens() - tokens <= kRollbackTokens && model_state->can_truncate(tokens);
    }
    void truncate(int64_t tokens) override {
      ensure(can_truncate(tokens), "as promised");
      model_state->truncate(tokens);
      resize(tokens);
    }
    void restart(int64_t tokens) override {
      watcher.ask();
      model_state->restart(tokens);
      resize(0);
      length.reset();
      is_broken = false;
    }
    std::exception_ptr failure() const override {
      return is_broken ? std::make_exception_ptr(RunError({.what = "sequence failed"})) : nullptr;
    }
    std::unique_ptr<SequenceState> fork() const override {
      watcher.ask();
      auto copy = std::make_unique<State>(watcher, model_state->fork(), ids);
      copy->length = length;
      return copy;
    }
    void write(ByteWriter& out) const override {
      watcher.ask();
      out.list(std::span(ids));
      model_state->write(out);
    }
    std::vector<uint8_t> decisions() const override { return model_state->decisions(); }
    std::vector<int32_t> held_heads() const override { return model_state->held_heads(); }
    void resize(int64_t tokens) {
      watcher.live_tokens += tokens - std::ssize(ids);
      ids.resize(static_cast<size_t>(tokens));
    }

    WatchedModel& watcher;
    std::unique_ptr<SequenceState> model_state;
    Ids ids;
    std::optional<int64_t> length{};
    bool is_broken = false;
  };

  void ask() const {
    if (is_silent) throw RunError({.what = "the device says nothing"});
  }

  static std::shared_ptr<const engine::SequencePlan> inner(
      const std::shared_ptr<const engine::SequencePlan>& plan) {
    return static_cast<const Plan&>(*plan).model_plan;
  }

  static std::vector<engine::Part> inner(std::span<const engine::Part> parts) {
    std::vector<engine::Part> asked(parts.begin(), parts.end());
    for (engine::Part& part : asked) {
      part.sequence = static_cast<State*>(part.sequence)->model_state.get();
    }
    return asked;
  }

  /// Notes that `ids` are computed, under the conditions that every pass must keep.
  void take(const engine::Part& part, std::span<const int32_t> ids) {
    auto& state = static_cast<State&>(*part.sequence);
    ensure(!ids.empty(), "a part has tokens");
    ensure(!state.is_broken, "what was part of a pass that failed is restarted");
    if (!state.length) state.length = part.length;
    ensure(is_one_rope(*state.length, part.length), "a RoPE is fixed once");
    state.ids.insert(state.ids.end(), ids.begin(), ids.end());
    live_tokens += std::ssize(ids);
  }

  bool is_one_rope(int64_t a, int64_t b) const {
    const int64_t border = length_border(0);
    return a == b || (length_border(a) == border && length_border(b) == border);
  }

  /// The first part is computed by half, the others not at all.
  [[noreturn]] void fail_half_way(std::span<const engine::Part> parts,
                                  std::vector<engine::Part>& asked) {
    for (const engine::Part& part : parts) static_cast<State*>(part.sequence)->is_broken = true;
    asked.resize(1);
    asked[0].ids = asked[0].ids.first((asked[0].ids.size() + 1) / 2);
    model_.forward(asked);
    throw RunError({.what = "pass failed"});
  }

  void spoil(std::span<const engine::Part> parts) {
    auto row = logits_.begin();
    for (const engine::Part& part : parts) {
      const Ids& ids = static_cast<const State&>(*part.sequence).ids;
      const auto count = std::ssize(part.ids);
      const int64_t wanted = part.logits == engine::LogitRows::all    ? count
                             : part.logits == engine::LogitRows::last ? 1
                                                                      : 0;
      for (int64_t i = wanted - 1; i >= 0; --i, row += vocab()) {
        if (!is_spoilt(std::span(ids).first(static_cast<size_t>(std::ssize(ids) - i)))) continue;
        std::fill_n(row, vocab(), std::numeric_limits<float>::quiet_NaN());
      }
    }
  }

  engine::Model& model_;
  std::vector<float> logits_;
};

}  // namespace dms::testing_support
