#pragma once
// One sequence: its tokens and what a model holds of them. The tokens are the truth; where the
// model holds fewer (after a long rollback or a failed pass) the engine computes the rest again,
// replaying the decisions taken, before anything new. Engine thread only.

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/prompt_span.h"
#include "dms/request.h"
#include "engine/model.h"

namespace dms::engine {

class Sequence {
 public:
  Sequence(std::unique_ptr<SequenceState> state, int64_t max_tokens)
      : state_(std::move(state)), max_tokens_(max_tokens) {}

  int64_t tokens() const { return std::ssize(ids_); }
  int64_t max_tokens() const { return max_tokens_; }
  std::span<const int32_t> ids() const { return ids_; }
  /// Tokens that are to be computed again.
  std::span<const int32_t> missing() const {
    return std::span(ids_).subspan(static_cast<size_t>(state_->tokens()));
  }
  SequenceState& state() { return *state_; }
  const SequenceState& state() const { return *state_; }
  Timings& timings() { return timings_; }
  const Timings& timings() const { return timings_; }

  /// What length-dependent RoPE is fixed for: the first prompt's length.
  int64_t length() const { return length_; }
  /// Before a prompt of `tokens` tokens is computed.
  void begin_prompt(int64_t tokens);
  /// Where `tokens` falls into a prompt, or into one that was not computed to its end, the tokens
  /// before that prompt; else `tokens`.
  int64_t before_prompt_at(int64_t tokens) const;
  /// Where the next `count` tokens pass the border of the RoPE in force, all is to be computed
  /// again for the model's whole context.
  void cross_border(const Model& model, int64_t count);

  /// After a pass that appended `ids`, or computed missing ones again.
  void record(std::span<const int32_t> ids);
  /// Begins with `ids`, which `state` holds, in place of what it has: the first of them, or
  /// nothing.
  void start_from(std::span<const int32_t> ids, std::unique_ptr<SequenceState> state);
  /// Lets go of what the model holds, for its memory or after a pass that failed half-way: it is
  /// computed again, or given back by restore().
  void release() { state_->restart(tokens()); }
  /// `state` holds all its tokens.
  void restore(std::unique_ptr<SequenceState> state);
  /// What the model holds, for others; the sequence is not to be used any more.
  std::unique_ptr<SequenceState> take_state() { return std::move(state_); }

  /// Forgets all but the first `tokens` tokens. Throws InputError where there are not as many.
  void truncate(int64_t tokens);
  /// Where a copy of what the model holds finds no memory, it is missing().
  std::shared_ptr<Sequence> fork() const;

  /// Tokens and state as bytes; nothing may be missing().
  void write(ByteWriter& out) const;
  /// Throws InputError where the bytes are not those of a sequence of `model` under `plan`,
  /// RunError at the memory limit.
  static std::shared_ptr<Sequence> read(ByteReader& in,
                                        Model& model,
                                        const std::shared_ptr<const SequencePlan>& plan);

  /// A request is at work on it.
  bool is_busy = false;

 private:
  std::unique_ptr<SequenceState> state_;
  int64_t max_tokens_;
  int64_t length_ = 0;
  std::vector<int32_t> ids_;
  // None is of a single token; the last one ends beyond tokens() until it is computed to its end.
  std::vector<PromptSpan> prompts_;
  Timings timings_;
};

}  // namespace dms::engine
