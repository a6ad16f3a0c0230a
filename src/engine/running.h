#pragma once
// One request on its way: what it wants computed next, and what becomes of the logits. It reports
// to its sink and never throws: what goes wrong ends it as an error. Engine thread only.

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/sampler.h"
#include "engine/sequence.h"
#include "engine/stop_matcher.h"
#include "text/stream_decoder.h"
#include "text/tokenizer.h"

namespace dms::engine {

/// Called with the logits after a prompt token: its index in the prompt, row [vocab].
using LogitSink = std::function<void(int64_t index, std::span<const float> row)>;

/// A request as the engine takes it.
struct Submission {
  Request request;
  std::shared_ptr<Sequence> sequence{};       // continue this one; null: a new one, gone at the end
  LogitRows prompt_logits = LogitRows::none;  // which prompt tokens' logits go to on_logits
  LogitSink on_logits{};
};

/// What generation needs of a model's vocabulary.
struct Vocabulary {
  const text::Tokenizer* tokenizer = nullptr;  // null: ids come out and no text
  std::vector<int32_t> eos_ids{};
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
  int64_t priority() const { return submission_.request.priority; }
  bool is_done() const { return is_done_; }
  /// It has a sequence.
  bool is_active() const { return submission_.sequence != nullptr; }
  /// activate() was called, and it is not done.
  bool is_ready() const { return is_ready_ && !is_done_; }
  Sequence& sequence() { return *submission_.sequence; }

  /// Makes the sequence of a request that has none, and makes ready to compute.
  void activate(Model& model);
  /// The next tokens, at most `max_tokens`; empty ids: nothing is left to compute.
  Work next(int64_t max_tokens) const;
  /// The work is done and recorded. `rows`: its logits, [rows, vocab].
  void advance(const Model& model, const Work& work, std::span<const float> rows);

  void add_time(const Work& work, double seconds, double attention_s);

  /// `reason`: Generation::finish_reason.
  void end(const Model& model, const char* reason);
  void fail(const Model& model, const std::string& why);

 private:
  void finish(const Model& model, const char* reason);
  int64_t prompt_tokens() const { return std::ssize(submission_.request.prompt); }
  void advance_replay(const Model& model, const Work& work);
  void advance_prompt(const Model& model, const Work& work, std::span<const float> rows);
  void sample(const Model& model, std::span<const float> logits);
  void accept(const Model& model, TokenChoice choice);
  /// Text that a new token made certain; sets `stopped` when it met a stop text.
  std::string text_of(int32_t token, bool& stopped);
  void report(const Event& event) const;
  void report_progress() const;

  RequestId id_;
  Submission submission_;
  std::shared_ptr<const SequencePlan> plan_;
  const Vocabulary& vocabulary_;
  Sampler sampler_;
  StopMatcher stops_;
  std::optional<text::StreamDecoder> decoder_;
  int64_t prompt_done_ = 0;
  int64_t replayed_ = 0;
  std::optional<int32_t> next_token_;  // sampled, not yet in the cache
  bool is_ready_ = false;
  bool is_done_ = false;
  Generation result_;
};

}  // namespace dms::engine
