#pragma once
// What the cache asks an eviction policy. A policy is one of two kinds, or does nothing:
// - it settles each token's fate once, at the latest when the token leaves the window (decide());
// - it ranks what a layer holds and says what goes (plan()): when a prompt ends, or whenever the
//   sequence's length is a multiple of an interval, over all heads of a layer at once, or over all
//   layers (plan_model()).
// Policies are immutable and know nothing of pages; what one has to remember of a sequence is a
// state of its own. semantics.md section 3.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/prompt_span.h"
#include "cache/digest.h"

namespace dms::cache {

/// Tokens whose fate is to be decided in one layer.
struct FateRequest {
  int64_t layer = 0;
  int64_t first = 0;  // position of the first token
  int64_t count = 0;
  /// [count, kv_heads] decision logits that settle these tokens (already shifted), or their scores;
  /// empty unless needed.
  std::span<const float> logits{};
  std::span<const float> key_norms{};  // [count, kv_heads], of keys after RoPE; likewise
};

/// What a replay pass counts, in which the model repeats what it has read (cpu/replay.h).
enum class ReplayScore {
  none,
  attention,  // KVzip: softmax weights
  output,     // KVzip+: weights times |v W_O| / |h|, h the attention's input of the query
};

/// What the model computes and the cache gathers for a policy, and for none that does not ask.
struct PolicyNeeds {
  bool decision_logits = false;
  bool key_norms = false;
  int64_t last_queries = 0;  // the attention of so many tokens before a plan; 0: none
  bool contents = false;     // measure() is to see keys and values
  bool output_norms = false;
  bool every_token = false;  // see() is to be shown queries and keys
  // Before a plan at a prompt's end see_replay() is to be shown these, and measure() is asked.
  ReplayScore replay = ReplayScore::none;
  bool prompts = false;  // which tokens were a prompt's is to be known
};

/// Keys and values of one head's entries that a plan ranks, by rising position.
struct HeadContents {
  int64_t layer = 0;
  int64_t head = 0;
  int64_t head_dim = 0;
  int64_t group = 1;                // query heads
  int64_t tokens = 0;               // computed so far
  int64_t rope_length = 0;          // what length-dependent RoPE is fixed for
  float attention_scale = 1.0f;     // multiplies q . k
  float attention_soft_cap = 0.0f;  // scaled scores become cap * tanh(score / cap); 0: they stay
  std::span<const int32_t> positions;
  std::span<const float> keys;    // [entries, head_dim], after RoPE
  std::span<const float> values;  // [entries, head_dim]
  // Of the last tokens, [group, head_dim] each, after RoPE; where they are needed.
  std::vector<std::span<const float>> queries{};
  std::span<const PromptSpan> prompts{};  // by rising position; where they are needed
  // [group, entries]: what their distance from the next token adds to q . k (ALiBi); empty: nothing
  std::vector<float> biases{};
};

/// Neighbouring tokens in one layer, after RoPE.
struct SeenTokens {
  int64_t layer = 0;
  int64_t rope_length = 0;                      // as of HeadContents
  int64_t first = 0;                            // position of the first
  std::vector<std::span<const float>> queries;  // [q_heads, head_dim] each
  std::vector<std::span<const float>> keys;     // [kv_heads, head_dim] each
};

/// Logs of what a replay of the tokens from `first` on gives the entries of one layer, in which
/// steep heads of ALiBi differ where weights themselves are zero; minus infinity: no longer held.
struct ReplayedTokens {
  int64_t first = 0;
  int64_t count = 0;
  std::span<const float> scores;  // [kv_heads, count]
};

/// One head's entries that a plan ranks, by rising position.
struct HeadEntries {
  std::vector<int32_t> positions;
  std::vector<float> key_norms;  // Euclidean, of keys after RoPE; where needed
  // What the last queries of the group attend of each entry: softmax weights, their mean over
  // queries and heads; where needed.
  std::vector<float> attention;
  std::vector<float> measured{};  // what measure() made of the contents; where needed
  // Sum of absolute values of what the output projection makes of a value, its mean over the
  // group's heads; where needed.
  std::vector<float> output_norms{};
  int64_t digested = 0;  // entries of full size that its digest takes
};

/// What a layer holds when a plan is due.
struct LayerEntries {
  int64_t tokens = 0;  // computed so far
  // Position where the prompt began that has ended, or under plans_by_chunk() the last plan was
  // made; else tokens.
  int64_t prompt_begin = 0;
  std::vector<HeadEntries> heads;  // [kv_heads]
};

/// What a new digest of a head is made from. `leaving` goes by the plan.
struct DigestRequest {
  const LayerEntries& layer;  // as plan() saw it
  HeadContents leaving;
  HeadContents staying;  // of the ranked entries, where positions are shifted; else empty
  Digest before;
};

/// 1: the entry goes. [kv_heads][entries]
using EvictionPlan = std::vector<std::vector<uint8_t>>;

/// What a policy remembers of one layer of a sequence.
class PolicyState {
 public:
  virtual ~PolicyState() = default;
  virtual std::unique_ptr<PolicyState> fork() const = 0;
  /// Forgets everything, and gives its memory back: the sequence is computed again, and observed
  /// again on the way.
  virtual void restart() = 0;
  virtual void write(ByteWriter& out) const = 0;
  /// What write() wrote. Throws InputError where it can't be that.
  virtual void read(ByteReader& in) = 0;
  virtual int64_t bytes() const = 0;
  /// The most that can be after `tokens` tokens.
  virtual int64_t most_bytes(int64_t tokens) const = 0;
};

/// How a policy's decide() comes to its decisions, for those who carry it out where nobody asks a
/// policy: on a device.
struct FateRule {
  enum class Kind {
    keep,       // nothing goes
    logit,      // a token whose logit is above 0
    threshold,  // one whose score is below `threshold`
    beyond,     // all
    hash,       // one of which policy/hash.h makes, of seed, layer, head and position, >= `keep`
    known,      // those that decide() names whatever was computed
  };
  Kind kind = Kind::keep;
  int64_t sinks = 0;  // first tokens, which stay
  float threshold = 0.0f;
  double keep = 1.0;
  uint64_t seed = 0;
  bool per_layer = false;  // KV head 0's logit decides for all
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
  /// What decide() does; nothing where it takes more than that to say.
  virtual std::optional<FateRule> fate_rule() const { return std::nullopt; }

  virtual bool plans_at_prompt_end() const { return false; }
  /// Plans are due at the multiples of so many tokens; 0: at none.
  virtual int64_t interval() const { return 0; }
  /// As interval(), within prompts.
  virtual int64_t prompt_interval() const { return interval(); }
  /// Whether what came since the last plan is what has ended, be it of a prompt or an answer.
  virtual bool plans_by_chunk() const { return false; }
  /// Entries before this position stay, and plans don't see them; nor those that have left a
  /// layer's sliding window, which count against no budget. `prompt_begin`: as of LayerEntries.
  virtual int64_t first_ranked(int64_t /*prompt_begin*/) const { return 0; }
  /// So do entries from this one on. `tokens`: as of LayerEntries.
  virtual int64_t ranked_end(int64_t tokens) const { return tokens; }
  /// Anything that plan() is to know of a head's contents. Called for several heads at a time.
  virtual std::vector<float> measure(const HeadContents&, const PolicyState*) const { return {}; }
  /// `state`: of this layer, what new_state() made and observe() has seen; null where it made none.
  virtual EvictionPlan plan(const LayerEntries&, const PolicyState*) const { return {}; }
  /// Whether plans are made for all layers at once: plan_model() is then asked, and plan() never.
  virtual bool plans_over_model() const { return false; }
  /// A plan for each layer.
  virtual std::vector<EvictionPlan> plan_model(std::span<const LayerEntries>) const { return {}; }

  /// Whether each plan leaves its heads a new digest, digest(), of what goes and what went before.
  /// Such plans are made again where their tokens are computed again.
  virtual bool digests() const { return false; }
  /// Entries that a digest has at most, each kind in whole pages.
  virtual int64_t most_merged() const { return 0; }
  /// What the blocks of a layer's digests take at most after `tokens` tokens.
  virtual BlockRoom most_blocks(int64_t /*tokens*/) const { return {}; }
  /// Called for several heads at a time.
  virtual Digest digest(DigestRequest) const { return {}; }

  /// For one layer; null: there is nothing to remember.
  virtual std::unique_ptr<PolicyState> new_state() const { return nullptr; }
  /// All tokens, once each and in order: when one can't be taken back any more without that
  /// everything is computed again, or a plan is due.
  virtual void see(const SeenTokens&, PolicyState&) const {}
  /// Before a plan at a prompt's end, and where one is carried out again that later ones build on.
  virtual void see_replay(const ReplayedTokens&, PolicyState&) const {}
  /// Before every plan(), and where one is carried out again.
  virtual void observe(const LayerEntries&, PolicyState&) const {}

  /// Whether what is held of the first tokens depends on them alone, and not on where prompts end:
  /// then sequences may share their beginnings.
  virtual bool shares_prefixes() const { return !plans_at_prompt_end(); }

  bool plans() const { return plans_at_prompt_end() || interval() > 0; }
};

}  // namespace dms::cache
