#pragma once
// What the engine knows of a model: it makes sequences and computes passes over them. The CPU's is
// in src/cpu; tests drive the engine with others. Bytes and tokens pass this seam, never pages,
// policies, heads or devices.

#include <algorithm>
#include <cstdint>
#include <exception>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/memory_shortage.h"
#include "dms/cache.h"
#include "dms/error.h"

namespace dms::engine {

/// CacheOptions understood and checked once, for any number of sequences. Immutable.
class SequencePlan {
 public:
  virtual ~SequencePlan() = default;
  /// The longest sequence: the model's context, unless the policy bounds positions.
  virtual int64_t max_tokens() const = 0;
  /// Tokens before the current one that are kept exactly.
  virtual int64_t window_tokens() const = 0;
  /// Equal for plans of one model whose sequences hold the same of the same tokens.
  virtual const std::string& name() const = 0;
  /// Whether a sequence that begins as another did may go on from a snapshot of that one: what is
  /// held of the first tokens does not depend on where the prompt ends.
  virtual bool shares_prefixes() const = 0;
  /// Bytes that `tokens` tokens are expected to take, before any was seen: of pages and beside
  /// them.
  virtual int64_t expected_bytes(int64_t tokens) const = 0;
  /// Of them what a copy of a sequence does not share with it, at most.
  virtual int64_t copied_bytes(int64_t /*tokens*/) const { return 0; }
};

/// What a sequence is expected to take as it grows: what its plan says, held to what was seen.
struct Expectation {
  const SequencePlan* plan = nullptr;
  int64_t from_tokens = 0;
  int64_t to_tokens = 0;
  double ratio = 1.0;         // of the bytes that the plan expects
  int64_t copied_tokens = 0;  // it begins as a copy of another of so many

  int64_t bytes() const {
    const int64_t added = plan->expected_bytes(to_tokens) - plan->expected_bytes(from_tokens);
    return static_cast<int64_t>(static_cast<double>(std::max<int64_t>(added, 0)) * ratio) +
           plan->copied_bytes(copied_tokens);
  }
};

/// What a model holds of one sequence: the tokens it computed, compact. Engine thread only. Calls
/// that ask a device may throw RunError: nothing has changed then.
class SequenceState {
 public:
  virtual ~SequenceState() = default;

  /// Computed and in the cache.
  virtual int64_t tokens() const = 0;

  /// Of the pages it refers to, of which one that others refer to counts in full, and beside them.
  virtual int64_t held_bytes() const = 0;

  /// Of them what one holds that read() makes of what write() wrote.
  virtual int64_t saved_bytes() const { return held_bytes(); }

  /// Most tokens that the next pass may append, because something is to be done after them.
  virtual int64_t pass_limit() const { return std::numeric_limits<int64_t>::max(); }

  /// Most guessed tokens that may follow the next one in a pass (Part::drafted): truncate() then
  /// takes any of them back at once, and what is held is as if they had never been there.
  virtual int64_t draft_limit() const { return 0; }

  /// Whether truncate(tokens) is possible without computing anything again.
  virtual bool can_truncate(int64_t tokens) const = 0;
  /// Forgets all but the first `tokens` tokens; needs can_truncate(tokens).
  virtual void truncate(int64_t tokens) = 0;
  /// Forgets everything but what was decided about the first `tokens` tokens, which is replayed
  /// when the same tokens are computed again.
  virtual void restart(int64_t tokens) = 0;
  /// What went wrong in the last pass with this sequence alone, which is then to be restarted;
  /// null: nothing did.
  virtual std::exception_ptr failure() const { return nullptr; }

  /// An independent copy that shares memory until either writes: a branch, or a snapshot. Throws
  /// MemoryShortage where what it can't share finds no room.
  virtual std::unique_ptr<SequenceState> fork() const = 0;
  /// What restart() leaves of a copy of all tokens, made without the copy's memory.
  virtual std::unique_ptr<SequenceState> fork_decisions() const {
    std::unique_ptr<SequenceState> copy = fork();
    copy->restart(tokens());
    return copy;
  }

  /// Everything it holds, for Model::read_sequence() to go on from as if never interrupted.
  virtual void write(ByteWriter& out) const = 0;

  /// uint8 [layers, kv_heads, tokens()]: 1 = the token's own fate is eviction.
  virtual std::vector<uint8_t> decisions() const = 0;
  /// [tokens()]: in how many KV heads of all layers each is held, as KvStats::held_tokens counts;
  /// one that lives on only in what a policy made of several counts for none.
  virtual std::vector<int32_t> held_heads() const = 0;
};

enum class LogitRows { none, last, all };

/// One sequence's tokens in a pass.
struct Part {
  SequenceState* sequence = nullptr;
  std::span<const int32_t> ids;
  LogitRows logits = LogitRows::none;
  int64_t length = 0;        // what length-dependent RoPE is fixed for; see Model::length_border()
  int64_t ended_prompt = 0;  // the last id ends a prompt of so many tokens; 0: it ends none
  // So many of the ids, the last ones, are guesses: each token is computed as it is alone.
  int64_t drafted = 0;
  bool decoded = false;  // tokens of an answer, or one that comes alone; else of a prompt
  std::span<const int32_t> before{};  // all tokens of the sequence before the ids
};

/// Pages of all sequences of a model, and what policies hold beside them.
struct KvMemory {
  int64_t limit_bytes = 0;  // 0: none
  int64_t used_bytes = 0;
  int64_t peak_bytes = 0;
};

class Model {
 public:
  virtual ~Model() = default;

  virtual int64_t vocab() const = 0;
  virtual int64_t context() const = 0;
  /// The longest sequence that a RoPE fixed for `length` tokens serves well: beyond it the sequence
  /// is computed anew for the whole context.
  virtual int64_t length_border(int64_t length) const = 0;

  /// Throws InputError naming the bad option. Any thread.
  virtual std::shared_ptr<const SequencePlan> plan(const CacheOptions& options) const = 0;
  /// Throws RunError where there is no memory to preallocate.
  virtual std::unique_ptr<SequenceState> new_sequence(std::shared_ptr<const SequencePlan> plan) = 0;

  /// The sequence of `tokens` tokens that SequenceState::write() wrote under an equal plan. Throws
  /// InputError where the bytes can't be that, RunError at the memory limit.
  virtual std::unique_ptr<SequenceState> read_sequence(std::shared_ptr<const SequencePlan> plan,
                                                       ByteReader& in,
                                                       int64_t tokens) = 0;
  /// What a saved sequence must have been computed with: the model's shape, types and weights, in
  /// few words.
  virtual std::string fingerprint() const = 0;

  /// Whether a pass over `parts` is sure to find memory, whatever is evicted; it is then kept for
  /// the pass that follows.
  virtual bool reserve(std::span<const Part> parts) = 0;
  virtual KvMemory memory() const = 0;
  /// Whether free memory can hold what is expected as it lies: where it is cut into pieces of
  /// several sizes, bytes may be free of which none serve. That there are as many is memory()'s to
  /// say.
  virtual bool can_place(std::span<const Expectation> /*expected*/) const { return true; }
  /// Why reserve() said no.
  virtual MemoryShortage shortage(std::span<const Part> parts) const = 0;

  /// Appends every part's ids to its sequence. Returns the wanted logits, float32 [rows, vocab] in
  /// the order of parts and tokens, valid until the next call. Needs reserve(). Where it throws,
  /// the parts' sequences must be restarted.
  virtual std::span<const float> forward(std::span<const Part> parts) = 0;

  /// Seconds spent in attention so far.
  virtual double attention_seconds() const = 0;
  /// Of sequences of this model together.
  virtual KvStats usage(std::span<const SequenceState* const> sequences) const = 0;
};

}  // namespace dms::engine
