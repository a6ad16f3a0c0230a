#pragma once
// The living engine: owns its requests from submit() to their last event. step() is the table of
// contents: take in, schedule, forward, commit, retire. Running answers go first, one token each;
// prompts fill what the pass has left, in whole chunks, so that a long prompt never stalls an
// answer and an answer never depends on what else runs. A request that fails ends alone.
//
// Threads: submit(), cancel(), wait() and stop_waiting() may be called by any; everything else, the
// sinks included, is the engine thread's.

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include "engine/running.h"

namespace dms::engine {

struct EngineOptions {
  int64_t chunk_tokens = 256;     // a prompt is computed in pieces of so many tokens
  int64_t max_step_tokens = 512;  // prompt tokens of one pass together
  int64_t max_sequences = 64;     // requests computed side by side; the others wait
};

class Engine {
 public:
  /// `model` and `vocabulary`'s tokenizer outlive the engine.
  Engine(Model& model, Vocabulary vocabulary, EngineOptions options);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// Throws InputError on a bad prompt, sampling parameters or cache options. With a sequence given
  /// (engine thread only) an empty prompt computes what it misses; without one the prompt has at
  /// least one token.
  RequestId submit(Submission submission);
  /// Ends a request, whatever it is at, before the next pass; one that has ended already is left
  /// alone.
  void cancel(RequestId id);
  /// Blocks until there is something to do or stop_waiting() is called.
  void wait();
  /// Ends one wait(): a present one, or else the next.
  void stop_waiting();

  /// One pass over the model. False: nothing is left to do. Not to be called by a sink.
  bool step();

 private:
  struct Pass;

  void take_in();
  bool retire();
  void activate_waiting();
  Pass schedule();
  Pass fill_pass();
  bool keep_what_fits(Pass& pass);
  void give_up_newest(const Pass& wanted);
  std::optional<std::span<const float>> forward(const Pass& pass);
  void commit(const Pass& pass, std::span<const float> logits);
  void check_submission(const Submission& submission, int64_t max_tokens) const;

  Model& model_;
  Vocabulary vocabulary_;
  EngineOptions options_;
  std::vector<std::unique_ptr<Running>> requests_;  // by priority, then age
  bool is_stepping_ = false;

  std::mutex mutex_;  // guards what follows
  std::condition_variable something_to_do_;
  std::vector<std::unique_ptr<Running>> inbox_;
  std::set<RequestId> cancelled_;
  bool has_requests_ = false;  // taken in and not retired
  bool is_stopped_ = false;
  RequestId next_id_ = 1;
};

}  // namespace dms::engine
