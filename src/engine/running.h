#pragma once
// One answer on its way: what it wants computed next, and what becomes of the logits. It reports
// to its sink and never throws: what goes wrong ends it as an error. A request for several answers
// is one until its prompt is computed, then branches. Engine thread only.

#include <exception>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/guide.h"
#include "engine/prefix_cache.h"
#include "engine/sampler.h"
#include "engine/sequence.h"
#include "engine/speculation.h"
#include "engine/stop_matcher.h"
#include "engine/swap_space.h"
#include "text/stream_decoder.h"
#include "text/tokenizer.h"

namespace dms::engine {

/// Called with the logits after a prompt token: its index in the prompt, row [vocab].
using LogitSink = std::function<void(int64_t index, std::span<const float> row)>;

/// Makes a document of a sequence that nobody else goes on with.
using Keeper = std::function<Document(std::shared_ptr<Sequence>)>;

/// A request as the engine takes it.
struct Submission {
  Request request;
  std::shared_ptr<Sequence> sequence{};  // continue this one; null: a new one, gone at the end
  std::shared_ptr<const Sequence> document{};  // a new one may be a branch of it, whole and at rest
  Keeper keep{};                               // where the new one is to be kept
  LogitRows prompt_logits = LogitRows::none;   // which prompt tokens' logits go to on_logits
  LogitSink on_logits{};
};

/// What generation needs of a model's vocabulary.
struct Vocabulary {
  const text::Tokenizer* tokenizer = nullptr;  // null: ids come out and no text
  std::vector<int32_t> eos_ids{};
  GuideMaker* guides = nullptr;  // null: no answer can be held to a form
};

class Running {
 public:
  enum class Phase {
    replay,  // tokens computed before are computed again
    prompt,
    decode,
  };
  /// What is to be computed next.
  struct Work {
    Phase phase = Phase::prompt;
    std::span<const int32_t> ids{};  // valid until advance()
    LogitRows logits = LogitRows::none;
    int64_t ended_prompt = 0;  // tokens of the prompt whose last one is among the ids; else 0
    int64_t drafted = 0;       // of the ids, the last ones, that are guesses
    bool decoded = false;      // tokens of an answer, or one that comes alone

    int64_t row_count() const {
      if (logits == LogitRows::all) return std::ssize(ids);
      return logits == LogitRows::last ? 1 : 0;
    }
  };

  /// `plan` for a new sequence. Throws InputError on bad sampling parameters.
  Running(RequestId id,
          Submission submission,
          std::shared_ptr<const SequencePlan> plan,
          const Vocabulary& vocabulary);
  ~Running();
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

  RequestId id() const { return id_; }
  const Request& request() const { return submission_.request; }
  /// One that was overtaken too often goes before all others.
  int64_t priority() const {
    return is_urgent_ ? std::numeric_limits<int64_t>::max() : request().priority;
  }
  /// A younger one went before it; true: for the `limit`-th time, and it is urgent from now on.
  bool is_overtaken_for(int64_t limit);
  /// The answers it stands for: all of the request's, until it branches.
  int64_t answers() const { return answers_; }
  int64_t answer() const { return answer_; }

  bool is_done() const { return is_done_; }
  /// The engine made its sequence, or will; else it continues somebody's.
  bool is_owned() const { return plan_ != nullptr; }
  /// It has a sequence.
  bool is_active() const { return submission_.sequence != nullptr; }
  /// activate() was called, and it is neither preempted nor done.
  bool is_ready() const { return is_ready_ && !is_preempted_ && !is_done_; }
  /// It waits for a place, or for memory.
  bool is_waiting() const { return !is_done_ && !is_ready(); }
  bool is_preempted() const { return is_preempted_ && !is_done_; }
  bool is_in_prompt() const { return prompt_done_ < prompt_tokens(); }
  /// Something of its prompt is computed, or was there.
  bool has_begun() const {
    return prompt_done_ > given_ || (is_active() && sequence().tokens() > given_);
  }
  /// So many of its prompt's first tokens are there in its document, whatever else is found.
  int64_t given_tokens() const { return given_; }
  /// What length-dependent RoPE is, or will be, fixed for.
  int64_t first_length() const {
    return given_ > 0 ? submission_.document->length() : prompt_tokens();
  }
  /// Logits after each of its prompt's tokens are wanted.
  bool wants_all_rows() const { return prompt_rows() == LogitRows::all; }
  Sequence& sequence() { return *submission_.sequence; }
  const Sequence& sequence() const { return *submission_.sequence; }
  /// Of an owned one.
  const SequencePlan& plan() const { return *plan_; }
  /// Once it is computed: the prompt, or what has come of it so far.
  int64_t wanted_tokens() const;
  int64_t prompt_done() const { return prompt_done_; }
  bool is_at_cut() const { return prompt_cut_ == prompt_done_; }
  const Generation& result() const { return result_; }

  /// Before anything else: how much of its prompt its document spares.
  void look_at_document();
  /// Makes the sequence of a request that has none, and makes ready to compute.
  void activate(Model& model);
  /// The first tokens of the prompt, more than a document spared, need not be computed. Nothing has
  /// been yet.
  void start_from(const CachedPrefix& prefix);
  /// A piece of the prompt ends after its first `tokens` tokens.
  void cut_prompt_at(int64_t tokens);
  /// The most tokens that may be guessed ahead of an answer under way.
  int64_t most_guesses(const Model& model) const;
  Speculation& speculation() { return speculation_; }
  /// Of an answer under way: sampled, and not yet in the sequence.
  int32_t next_token() const { return next_tokens_.front(); }
  /// For next() to hand out with the next token.
  void set_guesses(std::span<const int32_t> guesses);
  void forget_guesses() { set_guesses({}); }
  /// The next tokens, at most `max_tokens`; empty ids: nothing is left to compute.
  Work next(int64_t max_tokens) const;
  /// The work is about to be computed.
  void begin(const Work& work);
  /// The work is done and recorded. `rows`: its logits, [rows, vocab]. `is_unwanted`: asked before
  /// the answer goes on with a token that was guessed.
  void advance(const Model& model,
               const Work& work,
               std::span<const float> rows,
               const std::function<bool()>& is_unwanted);
  /// The other answers of a prompt that was computed just now.
  std::vector<std::unique_ptr<Running>> take_branches() { return std::move(branches_); }

  /// Gives its memory back until resume(). True: `space` keeps what it held; else it is computed
  /// again.
  bool preempt(SwapSpace& space, int64_t time);
  /// The `time` of the last preempt().
  int64_t preempted_at() const { return preempted_at_; }
  void resume(Model& model);

  void add_time(const Work& work, double seconds, double attention_s);

  /// `reason`: Generation::finish_reason.
  void end(const Model& model, const char* reason);
  void fail(const Model& model, const std::exception& why);
  void fail(const Model& model, const std::exception_ptr& why);
  /// After a pass that failed with its sequence half-way.
  void fail_pass(const Model& model, const std::exception_ptr& why);
  /// Of one that is done: the sequence it made, whole; null where there is none.
  std::shared_ptr<Sequence> finished_sequence() const { return finished_sequence_; }

  /// Of its prompt, once it is known: see PromptSharing.
  std::string prefix_kind;

 private:
  /// Another answer over a branch of the sequence.
  Running(const Running& first, int64_t answer);

  std::shared_ptr<Sequence> new_sequence(Model& model) const;
  void keep_document();
  void finish(const Model& model, const char* reason);
  int64_t prompt_tokens() const { return std::ssize(submission_.request.prompt); }
  LogitRows prompt_rows() const;
  void advance_replay(const Model& model, const Work& work);
  void advance_prompt(const Model& model, const Work& work, std::span<const float> rows);
  void hand_out(const Work& work, std::span<const float> rows, size_t vocab);
  void answer(const Model& model, std::span<const float> logits);
  void verify(const Model& model,
              const Work& work,
              std::span<const float> rows,
              const std::function<bool()>& is_unwanted);
  void take_back_guesses();
  void sample(const Model& model, std::span<const float> logits);
  void accept(const Model& model, TokenChoice choice);
  /// Text that a new token made certain; sets `stopped` when it met a stop text.
  std::string text_of(int32_t token, bool& stopped);
  void report(const Event& event) const;
  void report_progress() const;
  /// Nothing where nobody asked.
  std::optional<MemoryEvent> memory_event(const Model& model) const;
  void report_memory(const Model& model);
  void note_failure(const std::function<void()>& call);
  void report_last_memory(const Model& model);

  RequestId id_;
  Submission submission_;
  std::shared_ptr<const SequencePlan> plan_;
  const Vocabulary& vocabulary_;
  int64_t answer_ = 0;  // the first of answers_
  int64_t answers_ = 1;
  Sampler sampler_;
  std::unique_ptr<Guide> guide_;  // null: the answer's form is free
  std::exception_ptr failure_;    // of the work under way
  StopMatcher stops_;
  std::optional<text::StreamDecoder> decoder_;
  int64_t given_ = 0;  // tokens of the prompt that its document holds
  int64_t prompt_done_ = 0;
  int64_t prompt_cut_ = 0;
  int64_t replayed_ = 0;
  int64_t overtaken_ = 0;
  int64_t preempted_at_ = 0;
  std::vector<int32_t>
      next_tokens_;           // not yet in the cache: the one that was sampled, then guesses
  int64_t unverified_ = 0;    // guesses in the cache
  int64_t reported_ids_ = 0;  // of result_, when the last MemoryEvent was sent
  Speculation speculation_;
  std::vector<std::unique_ptr<Running>> branches_;
  std::unique_ptr<SwapSpace::Slot> swapped_;  // what the sequence held when it was preempted
  std::shared_ptr<Sequence> finished_sequence_;
  bool is_ready_ = false;
  bool is_preempted_ = false;
  bool is_urgent_ = false;
  bool is_done_ = false;
  Generation result_;
};

}  // namespace dms::engine
