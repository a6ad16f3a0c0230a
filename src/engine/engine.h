#pragma once
// Continues several sequences together. step() is the table of contents: schedule, forward, sample,
// commit. Prompts go first, one chunk at a time; then all sequences decode in one pass over the
// weights. Engine thread only.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/sampler.h"
#include "engine/sequence.h"
#include "engine/stop_matcher.h"
#include "text/tokenizer.h"

namespace dms::engine {

/// One prompt to continue.
struct Request {
  Sequence* sequence = nullptr;
  std::vector<int32_t> prompt{};
  SamplingParams params{};
  TextSink on_text{};    // may be empty
  Progress on_prompt{};  // may be empty
};

class Engine {
 public:
  /// `tokenizer` may be null: then results carry ids and no text.
  Engine(Model& model, const text::Tokenizer* tokenizer, std::vector<int32_t> eos_ids);

  ~Engine();

  /// Throws InputError on an empty or bad prompt or bad sampling parameters.
  void add(Request request);
  bool is_done() const;
  /// Throws RunError where the memory limit leaves no room for the whole pass. Every sequence is
  /// then as it was, and step() may be called again once there is memory.
  void step();
  /// The results in the order of add(); needs is_done().
  std::vector<Generation> take_results();

 private:
  struct Running;
  struct Pass;

  Pass schedule();
  void commit(const Pass& pass, std::span<const float> logits);
  void accept(Running& running, int32_t token);
  void emit(Running& running, std::string_view piece);
  void finish(Running& running, const char* reason);

  Model& model_;
  const text::Tokenizer* tokenizer_;
  std::vector<int32_t> eos_ids_;
  std::vector<std::unique_ptr<Running>> running_;
};

}  // namespace dms::engine
