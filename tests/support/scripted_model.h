#pragma once
// A model without weights: what follows a text is what a script says. It remembers tokens as they
// are, so that the engine can be tested by itself.

#include <functional>
#include <limits>
#include <memory>
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

  struct Shape {
    int64_t vocab = 100;
    int64_t context = 64;
    int64_t border = 0;  // of a RoPE fixed for no more than this; 0: none
  };

  /// By default every token t is followed by t + 1.
  explicit ScriptedModel(const Shape& shape, Script script = {})
      : shape_(shape), script_(std::move(script)) {
    if (script_) return;
    script_ = [vocab = shape.vocab](std::span<const int32_t> ids) {
      return static_cast<int32_t>((ids.back() + 1) % vocab);
    };
  }

  int64_t vocab() const override { return shape_.vocab; }
  int64_t context() const override { return shape_.context; }
  int64_t length_border(int64_t length) const override {
    return shape_.border > 0 && length <= shape_.border ? shape_.border
                                                        : std::numeric_limits<int64_t>::max();
  }

  /// Its policies are "none" and, without a bound of the length, "streaming".
  std::shared_ptr<const engine::SequencePlan> plan(const CacheOptions& options) const override {
    const bool is_endless = options.policy == "streaming";
    if (!is_endless && options.policy != "" && options.policy != "none") {
      throw InputError({.where = "policy", .what = "unknown", .got = options.policy});
    }
    return std::make_shared<Plan>(options.policy, is_endless ? 1'000'000 : shape_.context);
  }
  std::unique_ptr<engine::SequenceState> new_sequence(
      std::shared_ptr<const engine::SequencePlan>) override {
    return std::make_unique<State>();
  }

  std::unique_ptr<engine::SequenceState> read_sequence(std::shared_ptr<const engine::SequencePlan>,
                                                       ByteReader& in,
                                                       int64_t tokens) override {
    auto state = std::make_unique<State>();
    state->ids = in.list<int32_t>();
    in.require(state->tokens() == tokens, "another number of tokens");
    return state;
  }
  std::string fingerprint() const override { return "scripted"; }

  bool reserve(std::span<const engine::Part>) override { return true; }
  engine::KvMemory memory() const override { return {}; }
  MemoryShortage shortage(std::span<const engine::Part>) const override {
    return MemoryShortage({.where = "KV memory", .what = "has no limit"});
  }

  std::span<const float> forward(std::span<const engine::Part> parts) override {
    logits_.clear();
    for (const engine::Part& part : parts) append(part);
    return logits_;
  }

  double attention_seconds() const override { return 0; }
  KvStats usage(std::span<const engine::SequenceState* const> sequences) const override {
    KvStats stats;
    for (const auto* sequence : sequences) stats.dense_tokens += sequence->tokens();
    return stats;
  }

 private:
  struct Plan final : engine::SequencePlan {
    Plan(std::string name, int64_t max) : name_(std::move(name)), max_(max) {}
    int64_t max_tokens() const override { return max_; }
    int64_t window_tokens() const override { return 0; }
    const std::string& name() const override { return name_; }
    bool shares_prefixes() const override { return true; }
    int64_t expected_bytes(int64_t tokens) const override { return tokens; }
    std::string name_;
    int64_t max_;
  };

  struct State final : engine::SequenceState {
    int64_t tokens() const override { return std::ssize(ids); }
    int64_t held_bytes() const override { return tokens(); }
    int64_t draft_limit() const override { return 32; }
    bool can_truncate(int64_t) const override { return true; }
    void truncate(int64_t tokens) override { ids.resize(static_cast<size_t>(tokens)); }
    void restart(int64_t) override { ids.clear(); }
    std::unique_ptr<SequenceState> fork() const override { return std::make_unique<State>(*this); }
    void write(ByteWriter& out) const override { out.list(std::span(ids)); }
    std::vector<uint8_t> decisions() const override { return {}; }
    std::vector<int32_t> held_heads() const override { return Ids(ids.size(), 1); }

    Ids ids;
  };

  void append(const engine::Part& part) {
    Ids& ids = static_cast<State&>(*part.sequence).ids;
    for (size_t i = 0; i < part.ids.size(); ++i) {
      ids.push_back(part.ids[i]);
      const bool wanted = part.logits == engine::LogitRows::all ||
                          (part.logits == engine::LogitRows::last && i + 1 == part.ids.size());
      if (!wanted) continue;
      const auto row = logits_.size();
      logits_.resize(row + static_cast<size_t>(shape_.vocab), 0.0f);
      logits_[row + static_cast<size_t>(script_(ids))] = 1.0f;
    }
  }

  Shape shape_;
  Script script_;
  std::vector<float> logits_;
};

}  // namespace dms::testing_support
