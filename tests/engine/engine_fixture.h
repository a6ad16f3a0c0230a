#pragma once
// What all tests of the engine start from: a model of either kind, watched, and an engine on it.

#include <array>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

#include "engine/backends.h"
#include "engine/engine.h"
#include "support/watched_model.h"

namespace dms::engine {

using Ids = std::vector<int32_t>;

constexpr int64_t kChunk = 8;

/// What one request's sink heard.
struct Heard {
  Ids tokens;
  std::vector<int64_t> prompt_done;
  std::vector<TokenChoice> choices;
  std::vector<MemoryReport> memory;
  std::vector<Generation> finished;

  const Generation& result() const { return finished.at(0); }
};

class EngineTest : public testing::TestWithParam<BackendKind> {
 protected:
  EngineTest() : EngineTest(0) {}
  explicit EngineTest(int64_t border)
      : backend_(make_backend(GetParam(), border)), model_(*backend_), alone_(*backend_) {}

  Engine& engine(EngineOptions options = {.chunk_tokens = kChunk, .max_step_tokens = 2 * kChunk},
                 Ids eos_ids = {}) {
    engine_.emplace(
        model_, Vocabulary{.tokenizer = nullptr, .eos_ids = std::move(eos_ids)}, options);
    return *engine_;
  }

  EventSink into(Heard& heard) {
    return [&heard](const Event& event) {
      ASSERT_TRUE(heard.finished.empty()) << "an event after the last one";
      if (const auto* prompt = std::get_if<PromptProgress>(&event)) {
        heard.prompt_done.push_back(prompt->done);
      } else if (const auto* token = std::get_if<TokenEvent>(&event)) {
        heard.tokens.push_back(token->id);
        heard.choices.push_back(token->choice);
      } else if (const auto* memory = std::get_if<MemoryEvent>(&event)) {
        heard.memory.push_back(memory->report);
      } else {
        heard.finished.push_back(std::get<FinishedEvent>(event).result);
      }
    };
  }

  RequestId ask(Heard& heard, Ids prompt, SamplingParams sampling, int64_t priority = 0) {
    return engine_->submit({.request = {.prompt = std::move(prompt),
                                        .sampling = std::move(sampling),
                                        .priority = priority,
                                        .sink = into(heard)}});
  }

  std::shared_ptr<Sequence> sequence() {
    return std::make_shared<Sequence>(model_.new_sequence(model_.plan({})), kContext);
  }

  void run() {
    while (engine_->step()) {
    }
  }

  /// Asks for `count` more tokens after `prompt` in a sequence, and waits for them.
  Heard go_on(const std::shared_ptr<Sequence>& sequence, Ids prompt, int64_t count) {
    Heard heard;
    engine_->submit({.request = {.prompt = std::move(prompt),
                                 .sampling = {.max_new_tokens = count},
                                 .sink = into(heard)},
                     .sequence = sequence});
    run();
    return heard;
  }

  /// The model computed what is the sequence's text, and nothing else.
  static void expect_computed(const Sequence& sequence) {
    const std::span<const int32_t> ids = sequence.ids();
    EXPECT_EQ(testing_support::WatchedModel::computed(sequence.state()),
              Ids(ids.begin(), ids.end()));
  }

  std::unique_ptr<Model> backend_;
  testing_support::WatchedModel model_;
  Alone alone_;
  std::optional<Engine> engine_;
};

inline Ids joined(std::initializer_list<Ids> parts) {
  Ids all;
  for (const Ids& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

constexpr std::array kBackends{BackendKind::scripted, BackendKind::plain, BackendKind::cpu};

inline std::string backend_case_name(const testing::TestParamInfo<BackendKind>& info) {
  return backend_name(info.param);
}

}  // namespace dms::engine
