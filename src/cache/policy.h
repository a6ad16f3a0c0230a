#pragma once
// What the cache asks an eviction policy. A policy is one of two kinds, or does nothing:
// - it settles each token's fate once, at the latest when the token leaves the window (decide());
// - it ranks what a layer holds and says what goes (plan()): when a prompt ends, or whenever the
//   sequence's length is a multiple of an interval, over all heads of a layer at once.
// Policies are immutable and know nothing of pages; what one has to remember of a sequence is a
// state of its own. semantics.md section 3.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/bytes.h"

namespace dms::cache {

/// Tokens whose fate is to be decided in one layer.
struct FateRequest {
  int64_t layer = 0;
  int64_t first = 0;  // position of the first token
  int64_t count = 0;
  std::span<const float> logits{};  // [count, kv_heads] decision logits that settle these tokens
                                    // (already shifted), or their scores; empty unless needed
};

/// What the model computes and the cache gathers for a policy, and for none that does not ask.
struct PolicyNeeds {
  bool decision_logits = false;
  bool key_norms = false;
  int64_t last_queries = 0;  // the attention of so many tokens before a plan; 0: none
};

/// Entries of one head, by rising position.
struct HeadEntries {
  std::vector<int32_t> positions;
  std::vector<float> key_norms;  // Euclidean, of keys after RoPE; where needed
  // What the last queries of the group attend of each entry: softmax weights, their mean over
  // queries and heads; where needed.
  std::vector<float> attention;
};

/// What a layer holds when a plan is due.
struct LayerEntries {
  int64_t tokens = 0;              // computed so far
  int64_t prompt_begin = 0;        // position where the prompt began that has ended; else tokens
  std::vector<HeadEntries> heads;  // [kv_heads]
};

/// 1: the entry goes. [kv_heads][entries]
using EvictionPlan = std::vector<std::vector<uint8_t>>;

/// What a policy remembers of one layer of a sequence.
class PolicyState {
 public:
  virtual ~PolicyState() = default;
  virtual std::unique_ptr<PolicyState> fork() const = 0;
  /// Forgets everything: the sequence is computed again, and observed again on the way.
  virtual void restart() = 0;
  virtual void write(ByteWriter& out) const = 0;
  /// What write() wrote. Throws InputError where it can't be that.
  virtual void read(ByteReader& in) = 0;
  virtual int64_t bytes() const = 0;
};

class Policy {
 public:
  virtual ~Policy() = default;

  /// W: a query at t sees every token with t - i <= W whatever its fate.
  virtual int64_t window() const = 0;
  virtual PolicyNeeds needs() const { return {}; }

  /// Position at which the query of token t is rotated for keys beyond its window (streaming's
  /// position shift); nothing: its true position.
  virtual std::optional<int64_t> far_position(int64_t) const { return std::nullopt; }

  /// Share of the tokens that leave the window and stay, for sizing memory ahead.
  virtual double expected_keep() const { return 1.0; }

  /// 1: token i's fate is settled when token i + 1 is computed; 0: with token i itself.
  virtual int64_t decision_shift() const { return 0; }
  /// Writes 1 (evict) or 0 (keep) to `evict`, [kv_heads, count], which is all zeros.
  virtual void decide(const FateRequest&, std::span<uint8_t>) const {}

  virtual bool plans_at_prompt_end() const { return false; }
  /// Plans are due at the multiples of so many tokens; 0: at none.
  virtual int64_t interval() const { return 0; }
  /// `state`: of this layer, what new_state() made and observe() has seen; null where it made none.
  virtual EvictionPlan plan(const LayerEntries&, const PolicyState*) const { return {}; }

  /// For one layer; null: there is nothing to remember.
  virtual std::unique_ptr<PolicyState> new_state() const { return nullptr; }
  /// Before every plan(), and where one is carried out again.
  virtual void observe(const LayerEntries&, PolicyState&) const {}

  /// Whether what is held of the first tokens depends on them alone, and not on where prompts end:
  /// then sequences may share their beginnings.
  virtual bool shares_prefixes() const { return !plans_at_prompt_end(); }

  bool plans() const { return plans_at_prompt_end() || interval() > 0; }
};

}  // namespace dms::cache
