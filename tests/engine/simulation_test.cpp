// Thousands of random requests on a model that follows a script, in far too little memory: whatever
// comes together, every answer is the one it has alone, none is lost, and no memory stays.

#include <algorithm>
#include <map>
#include <random>

#include <gtest/gtest.h>

#include "engine/engine.h"
#include "support/scripted_model.h"
#include "support/seed.h"
#include "support/temp_folder.h"
#include "support/watched_model.h"

namespace dms::engine {
namespace {

using Ids = std::vector<int32_t>;
using testing_support::ScriptedModel;
using testing_support::seed;
using testing_support::WatchedModel;

constexpr int64_t kVocab = 50;
constexpr int64_t kContext = 64;

/// What follows depends on all that went before, or, so that guesses are often right, on one token.
int32_t follower(std::span<const int32_t> ids) {
  if (ids.back() % 8 != 0) return static_cast<int32_t>((ids.back() * 7 + 3) % kVocab);
  uint64_t state = 1469598103934665603u;
  for (const int32_t id : ids) state = (state ^ static_cast<uint64_t>(id)) * 1099511628211u;
  return static_cast<int32_t>(state % kVocab);
}

struct Asked {
  Request request;
  RequestId id = 0;
  bool is_cancelled = false;
  std::map<int64_t, Ids> heard{};  // by answer
  std::map<int64_t, Generation> finished{};
};

/// The answer by itself.
Ids expected_answer(const Request& request, int64_t answer) {
  SamplingParams sampling = request.sampling;
  sampling.seed += static_cast<uint64_t>(answer);
  Sampler sampler(sampling);
  sampler.see_prompt(request.prompt);
  Ids text = request.prompt;
  Ids tokens;
  while (std::ssize(tokens) < sampling.max_new_tokens) {
    std::vector<float> row(static_cast<size_t>(kVocab), 0.0f);
    row[static_cast<size_t>(follower(text))] = 1.0f;
    tokens.push_back(sampler.sample(row));
    sampler.accept(tokens.back());
    text.push_back(tokens.back());
    if (std::ssize(text) > kContext) break;
  }
  return tokens;
}

class Simulation {
 public:
  Simulation(EngineOptions options, int64_t limit_tokens)
      : script_({.vocab = kVocab, .context = kContext}, follower),
        model_(script_),
        draft_script_({.vocab = kVocab, .context = kContext},
                      [](std::span<const int32_t> ids) { return (ids.back() * 7 + 3) % 50; }),
        draft_(draft_script_) {
    if (options.draft_cost > 0) options.draft_model = &draft_;
    draft_.limit_tokens = limit_tokens / 2;
    for (int64_t pass = 20; pass < 20'000; pass += 61) draft_.failing_passes.insert(pass);
    engine_.emplace(model_, Vocabulary{}, std::move(options));
    model_.limit_tokens = limit_tokens;
    for (Ids& text : beginnings_) text = random_text(8, 30);
  }

  WatchedModel& model() { return model_; }
  const WatchedModel& draft() const { return draft_; }
  Engine& engine() { return *engine_; }
  const std::vector<std::unique_ptr<Asked>>& asked() const { return asked_; }

  void submit() {
    asked_.push_back(std::make_unique<Asked>());
    Asked& asked = *asked_.back();
    asked.request = random_request();
    asked.request.sink = [&asked](const Event& event) { hear(asked, event); };
    asked.id = engine_->submit({.request = asked.request});
  }

  void cancel_one() {
    Asked& asked = *asked_[draw(0, std::ssize(asked_) - 1)];
    asked.is_cancelled = true;
    engine_->cancel(asked.id);
  }

  size_t draw(int64_t min, int64_t max) {
    return static_cast<size_t>(std::uniform_int_distribution<int64_t>(min, max)(random_));
  }

  /// Lets the engine and all it holds go.
  void close() { engine_.reset(); }

 private:
  static void hear(Asked& asked, const Event& event) {
    if (const auto* token = std::get_if<TokenEvent>(&event)) {
      ASSERT_FALSE(asked.finished.contains(token->answer)) << "a token after the end";
      asked.heard[token->answer].push_back(token->id);
    } else if (const auto* end = std::get_if<FinishedEvent>(&event)) {
      ASSERT_TRUE(asked.finished.try_emplace(end->answer, end->result).second) << "two ends";
    }
  }

  Ids random_text(int64_t min, int64_t max) {
    Ids text(draw(min, max));
    for (int32_t& id : text) id = static_cast<int32_t>(draw(0, kVocab - 1));
    return text;
  }

  Request random_request() {
    Request request;
    if (draw(0, 2) > 0) request.prompt = beginnings_[draw(0, std::ssize(beginnings_) - 1)];
    const Ids tail = random_text(1, 20);
    request.prompt.insert(request.prompt.end(), tail.begin(), tail.end());
    request.sampling.max_new_tokens = static_cast<int64_t>(draw(0, 20));
    request.sampling.temperature = draw(0, 1) == 0 ? 0.0 : 0.3;
    request.sampling.seed = draw(0, 1000);
    request.sampling.speculate = std::max<int64_t>(static_cast<int64_t>(draw(0, 10)) - 4, 0);
    request.priority = static_cast<int64_t>(draw(0, 2));
    request.answers = draw(0, 4) == 0 ? static_cast<int64_t>(draw(2, 4)) : 1;
    return request;
  }

  std::mt19937_64 random_{seed()};
  std::array<Ids, 5> beginnings_;
  ScriptedModel script_;
  WatchedModel model_;
  ScriptedModel draft_script_;
  WatchedModel draft_;
  std::vector<std::unique_ptr<Asked>> asked_;
  std::optional<Engine> engine_;
};

void expect_true_answers(const Asked& asked) {
  ASSERT_EQ(std::ssize(asked.finished), asked.request.answers) << "an answer was lost";
  for (const auto& [answer, result] : asked.finished) {
    const Ids expected = expected_answer(asked.request, answer);
    const auto heard = asked.heard.find(answer);
    EXPECT_EQ(result.ids, heard == asked.heard.end() ? Ids() : heard->second);
    ASSERT_LE(result.ids.size(), expected.size());
    EXPECT_TRUE(std::equal(result.ids.begin(), result.ids.end(), expected.begin()));
    if (result.finish_reason == "length") {
      EXPECT_EQ(result.ids, expected);
    } else if (result.finish_reason == "cancelled") {
      EXPECT_TRUE(asked.is_cancelled);
    } else {
      EXPECT_EQ(result.error, "pass failed");
    }
  }
}

struct Case {
  std::string name;
  bool prefix_cache = false;
  int64_t swap_bytes = 0;
  bool in_files = false;
  int64_t requests = 0;
  int64_t limit_tokens = 150;  // any answer fits alone, few fit together
  double draft_cost = 0;       // 0: no draft model
};

void PrintTo(const Case& c, std::ostream* os) { *os << c.name; }

class SimulationTest : public testing::TestWithParam<Case> {};

TEST_P(SimulationTest, EveryAnswerIsTheOneItHasAlone) {
  const testing_support::TempFolder folder;
  const Case& c = GetParam();
  Simulation simulation({.chunk_tokens = 8,
                         .max_step_tokens = 16,
                         .max_sequences = 12,
                         .prefix_cache = c.prefix_cache,
                         .swap_bytes = c.swap_bytes,
                         .swap_folder = c.in_files ? folder.path() : std::filesystem::path(),
                         .draft_cost = c.draft_cost},
                        c.limit_tokens);
  for (int64_t pass = 50; pass < 20 * c.requests; pass += 97) {
    simulation.model().failing_passes.insert(pass);
  }
  for (int64_t i = 0; i < c.requests; ++i) {
    simulation.submit();
    if (simulation.draw(0, 9) == 0) simulation.cancel_one();
    // In bursts: at times far more come than can be served, at times everything is done.
    const bool is_burst = i / 40 % 2 == 0;
    for (size_t steps = simulation.draw(0, is_burst ? 1 : 14); steps > 0; --steps) {
      simulation.engine().step();
    }
  }
  while (simulation.engine().step()) {
  }
  for (const auto& asked : simulation.asked()) expect_true_answers(*asked);

  const EngineStats stats = simulation.engine().stats();
  EXPECT_GT(stats.preemptions, 0);
  EXPECT_EQ(stats.swaps > 0, c.swap_bytes > 0);
  EXPECT_EQ(stats.cached_tokens > 0, c.prefix_cache);
  EXPECT_GT(stats.accepted_tokens, c.requests / 10);
  EXPECT_GT(stats.drafted_tokens, stats.accepted_tokens);
  EXPECT_EQ(stats.running + stats.waiting + stats.swapped_bytes, 0);
  EXPECT_EQ(simulation.model().live_sequences, stats.cached_prefixes);
  simulation.close();
  EXPECT_EQ(simulation.model().live_sequences, 0);
  EXPECT_EQ(simulation.draft().live_sequences, 0);
  EXPECT_EQ(simulation.draft().passes.size() > 100, c.draft_cost > 0);
}

INSTANTIATE_TEST_SUITE_P(
    Engine,
    SimulationTest,
    testing::Values(Case{.name = "recomputed", .requests = 3000},
                    Case{.name = "swapped", .swap_bytes = 1000, .requests = 3000},
                    Case{.name = "drafted",
                         .prefix_cache = true,
                         .swap_bytes = 1000,
                         .requests = 1500,
                         .limit_tokens = 250,
                         .draft_cost = 0.01},
                    Case{.name = "shared",
                         .prefix_cache = true,
                         .swap_bytes = 1000,
                         .requests = 5000,
                         .limit_tokens = 250},
                    Case{.name = "files",
                         .prefix_cache = true,
                         .swap_bytes = 1000,
                         .in_files = true,
                         .requests = 500,
                         .limit_tokens = 250}),
    [](const auto& given) { return given.param.name; });

}  // namespace
}  // namespace dms::engine
