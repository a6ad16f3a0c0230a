#pragma once
// A model without weights: what follows a text is what a script says. It remembers tokens as they
// are, counts memory in tokens, and fails where it is told to, so that the engine can be tested
// by itself.

#include <algorithm>
#include <functional>
#include <limits>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "engine/model.h"

namespace dms::testing_support {

class ScriptedModel final : public engine::Model {
 public:
  using Ids = std::vector<int32_t>;
  /// The token after `ids`.
  using Script = std::function<int32_t(std::span<const int32_t> ids)>;

  static constexpr int64_t kVocab = 100;
  static constexpr int64_t kContext = 64;

  /// By default every token t is followed by t + 1.
  explicit ScriptedModel(Script script = {}) : script_(std::move(script)) {
    if (!script_) script_ = [](std::span<const int32_t> ids) { return (ids.back() + 1) % kVocab; };
  }

  // What the tests set.
  int64_t limit_tokens = 0;          // of all sequences together; 0: none
  int64_t border = kContext;         // of a RoPE fixed for no more than this
  std::set<int64_t> failing_passes;  // counted from 1
  std::set<int32_t> poison;          // tokens whose logits are NaN
  // What they look at.
  std::vector<std::vector<int64_t>> passes;  // tokens of each part
  int64_t live_tokens = 0;
  int64_t live_sequences = 0;

  int64_t vocab() const override { return kVocab; }
  int64_t context() const override { return kContext; }
  int64_t length_border(int64_t length) const override {
    return length <= border ? border : std::numeric_limits<int64_t>::max();
  }

  std::shared_ptr<const engine::SequencePlan> plan(const CacheOptions& options) const override {
    if (options.policy != "" && options.policy != "endless") {
      throw InputError({.where = "policy", .what = "unknown", .got = options.policy});
    }
    return std::make_shared<Plan>(options.policy == "endless" ? 1'000'000 : kContext);
  }
  std::unique_ptr<engine::SequenceState> new_sequence(
      std::shared_ptr<const engine::SequencePlan>) override {
    return std::make_unique<State>(*this, Ids());
  }

  std::unique_ptr<engine::SequenceState> read_sequence(std::shared_ptr<const engine::SequencePlan>,
                                                       ByteReader& in,
                                                       int64_t tokens) override {
    auto state = std::make_unique<State>(*this, in.list<int32_t>());
    in.require(state->tokens() == tokens, "another number of tokens");
    return state;
  }
  std::string fingerprint() const override { return "scripted"; }

  bool reserve(std::span<const engine::Part> parts) override {
    int64_t wanted = live_tokens;
    for (const engine::Part& part : parts) wanted += std::ssize(part.ids);
    return limit_tokens == 0 || wanted <= limit_tokens;
  }
  RunError shortage(std::span<const engine::Part>) const override {
    return RunError({.where = "KV memory", .what = "limit reached"});
  }

  std::span<const float> forward(std::span<const engine::Part> parts) override {
    logits_.clear();
    passes.emplace_back();
    for (const engine::Part& part : parts) {
      passes.back().push_back(std::ssize(part.ids));
      append(part);
      if (failing_passes.contains(std::ssize(passes))) throw RunError({.what = "pass failed"});
    }
    return logits_;
  }

  double attention_seconds() const override { return 0; }
  KvStats usage(std::span<const engine::SequenceState* const> sequences) const override {
    KvStats stats;
    for (const auto* sequence : sequences) stats.dense_tokens += sequence->tokens();
    return stats;
  }

  /// Where each sequence's computation ended up with ids that were not those of its text, the
  /// engine is wrong: checked at every append.
  static const Ids& computed(const engine::SequenceState& state) {
    return static_cast<const State&>(state).ids;
  }
  static int64_t lengths_fixed_for(const engine::SequenceState& state) {
    return static_cast<const State&>(state).length;
  }

 private:
  struct Plan final : engine::SequencePlan {
    explicit Plan(int64_t max) : max_(max) {}
    int64_t max_tokens() const override { return max_; }
    int64_t max_;
  };

  /// Going back more than four tokens needs recomputation.
  struct State final : engine::SequenceState {
    State(ScriptedModel& m, Ids i) : model(m), ids(std::move(i)) {
      model.live_tokens += std::ssize(ids);
      ++model.live_sequences;
    }
    ~State() override {
      model.live_tokens -= std::ssize(ids);
      --model.live_sequences;
    }
    int64_t tokens() const override { return std::ssize(ids); }
    bool can_truncate(int64_t tokens) const override { return std::ssize(ids) - tokens <= 4; }
    void truncate(int64_t tokens) override {
      ensure(can_truncate(tokens), "as promised");
      resize(tokens);
    }
    void restart(int64_t) override { resize(0); }
    std::unique_ptr<SequenceState> fork() const override {
      return std::make_unique<State>(model, ids);
    }
    void write(ByteWriter& out) const override { out.list(std::span(ids)); }
    std::vector<uint8_t> decisions() const override { return {}; }
    void resize(int64_t tokens) {
      model.live_tokens += tokens - std::ssize(ids);
      ids.resize(static_cast<size_t>(tokens));
    }

    ScriptedModel& model;
    Ids ids;
    int64_t length = 0;
  };

  void append(const engine::Part& part) {
    auto& state = static_cast<State&>(*part.sequence);
    ensure(!part.ids.empty(), "a part has tokens");
    if (state.ids.empty()) state.length = part.length;
    ensure(state.length == part.length, "a RoPE is fixed once");
    for (size_t i = 0; i < part.ids.size(); ++i) {
      state.ids.push_back(part.ids[i]);
      ++live_tokens;
      const bool wanted = part.logits == engine::LogitRows::all ||
                          (part.logits == engine::LogitRows::last && i + 1 == part.ids.size());
      if (wanted) add_row(state.ids);
    }
  }

  void add_row(const Ids& ids) {
    std::vector<float> row(kVocab, 0.0f);
    row[static_cast<size_t>(script_(ids))] = 1.0f;
    if (poison.contains(ids.back())) row.assign(kVocab, std::numeric_limits<float>::quiet_NaN());
    logits_.insert(logits_.end(), row.begin(), row.end());
  }

  Script script_;
  std::vector<float> logits_;
};

}  // namespace dms::testing_support
