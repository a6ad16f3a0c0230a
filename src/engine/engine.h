#pragma once
// The living engine: owns its requests from submit() to their last event. step() is the table of
// contents: take in, schedule, forward, commit, retire. A long prompt never stalls an answer, an
// answer never depends on what else runs, and a request that fails ends alone.
//
// Threads: submit(), cancel(), post(), wait(), stop_waiting() and stats() may be called by any;
// everything else, the sinks included, is the engine thread's.

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include "dms/llm.h"
#include "engine/scheduler.h"

namespace dms::engine {

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
  /// Has `call` called once by the next step(), before its pass. What it throws comes out of
  /// step().
  void post(std::function<void()> call);
  /// Blocks until there is something to do or stop_waiting() is called.
  void wait();
  /// Ends one wait(): a present one, or else the next.
  void stop_waiting();
  EngineStats stats() const;
  /// Has cached beginnings of prompts give way until what is expected finds room, if it ever can.
  /// Between two steps.
  void make_room(const Expectation& expected) { scheduler_.make_room(expected); }

  /// One pass over the model. False: nothing is left to do. Not to be called by a sink.
  bool step();

 private:
  RequestId new_id();
  void make_calls();
  void take_in();
  bool retire();
  std::optional<std::span<const float>> forward(const Pass& pass);
  void commit(const Pass& pass, std::span<const float> logits);
  void compile(Structure& structure) const;
  void check_submission(const Submission& submission, int64_t max_tokens) const;
  bool is_unwanted(const Running& running) const;
  void count(const Running& leaving);
  void publish_stats();

  Model& model_;
  Vocabulary vocabulary_;
  Scheduler scheduler_;
  EngineStats totals_;  // what is counted since the beginning
  KvStats usage_;       // of those at work, a few steps old
  int64_t steps_ = 0;
  bool is_stepping_ = false;

  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable something_to_do_;
  std::vector<std::unique_ptr<Running>> inbox_;
  std::set<RequestId> cancelled_;
  std::vector<std::function<void()>> calls_;
  bool has_requests_ = false;  // taken in and not retired
  bool is_stopped_ = false;
  RequestId next_id_ = 1;
  EngineStats stats_;
};

}  // namespace dms::engine
