#include "engine/engine.h"

#include <map>

#include <gtest/gtest.h>

#include "dms/error.h"
#include "engine/tiny_model.h"

namespace dms::engine {
namespace {

/// Answers every token t with t + 1, and notes what it was asked to compute.
class CountingModel final : public Model {
 public:
  int64_t vocab() const override { return 100; }
  int64_t context() const override { return 64; }
  double attention_seconds() const override { return 0; }
  std::span<const float> forward(std::span<const model::Segment> segments) override {
    logits_.clear();
    pass_sizes.emplace_back();
    for (const model::Segment& segment : segments) {
      pass_sizes.back().push_back(std::ssize(segment.ids));
      segment.cache->commit(std::ssize(segment.ids));
      if (segment.logits == model::LogitRows::none) continue;
      logits_.resize(logits_.size() + 100, 0.0f);
      logits_[logits_.size() - 100 + static_cast<size_t>(segment.ids.back() + 1) % 100] = 1.0f;
    }
    return logits_;
  }
  std::vector<std::vector<int64_t>> pass_sizes;

 private:
  std::vector<float> logits_;
};

class EngineTest : public testing::Test {
 protected:
  Sequence& sequence() {
    const cache::CacheShape shape{.layers = 1, .kv_heads = 1, .head_dim = kHeadDim};
    sequences_.push_back(std::make_unique<Sequence>(
        model_,
        std::make_unique<cache::SequenceCache>(shape,
                                               pools_,
                                               policy::make_policy("none",
                                                                   {.layers = 1,
                                                                    .kv_heads = 1,
                                                                    .args = {},
                                                                    .window = {},
                                                                    .decisions_file = {},
                                                                    .trained = {}})),
        8));
    return *sequences_.back();
  }

  std::vector<Generation> run(Engine& engine) {
    while (!engine.is_done()) engine.step();
    return engine.take_results();
  }

  static constexpr int64_t kHeadDim = 4;

  CountingModel model_;
  std::shared_ptr<cache::CachePools> pools_ = std::make_shared<cache::CachePools>(kHeadDim, 0);
  std::vector<std::unique_ptr<Sequence>> sequences_;
};

TEST_F(EngineTest, ContinuesEachPromptUntilItsLimit) {
  Engine engine(model_, nullptr, {});
  engine.add({.sequence = &sequence(), .prompt = {1, 2, 3}, .params = {.max_new_tokens = 3}});
  engine.add({.sequence = &sequence(), .prompt = {50}, .params = {.max_new_tokens = 5}});
  const std::vector<Generation> results = run(engine);
  EXPECT_EQ(results[0].ids, (std::vector<int32_t>{4, 5, 6}));
  EXPECT_EQ(results[1].ids, (std::vector<int32_t>{51, 52, 53, 54, 55}));
  EXPECT_EQ(results[0].finish_reason, "length");
  EXPECT_EQ(results[0].prompt_tokens, 3);
}

TEST_F(EngineTest, CutsPromptsIntoChunksAndDecodesTogether) {
  Engine engine(model_, nullptr, {});
  engine.add({.sequence = &sequence(),
              .prompt = std::vector<int32_t>(20, 7),
              .params = {.max_new_tokens = 3}});
  engine.add({.sequence = &sequence(), .prompt = {1, 2}, .params = {.max_new_tokens = 3}});
  run(engine);
  EXPECT_EQ(model_.pass_sizes,
            (std::vector<std::vector<int64_t>>{{8}, {8}, {4}, {2}, {1, 1}, {1, 1}}));
}

TEST_F(EngineTest, StopsAtEndOfSequenceUnlessToldNotTo) {
  for (const bool ignore : {false, true}) {
    Engine engine(model_, nullptr, {12});
    engine.add({.sequence = &sequence(),
                .prompt = {10},
                .params = {.max_new_tokens = 4, .ignore_eos = ignore}});
    const Generation result = run(engine).front();
    EXPECT_EQ(result.ids.size(), ignore ? 4u : 2u);
    EXPECT_EQ(result.finish_reason, ignore ? "length" : "stop");
  }
}

TEST_F(EngineTest, StopsWhereTheContextEnds) {
  Engine engine(model_, nullptr, {});
  engine.add({.sequence = &sequence(),
              .prompt = std::vector<int32_t>(60, 7),
              .params = {.max_new_tokens = 100}});
  const Generation result = run(engine).front();
  EXPECT_EQ(result.ids.size(), 5u);  // the last one needs no place in the cache
  EXPECT_EQ(result.finish_reason, "length");
}

TEST_F(EngineTest, RefusesBadPrompts) {
  Engine engine(model_, nullptr, {});
  EXPECT_THROW(engine.add({.sequence = &sequence(), .prompt = {}}), InputError);
  EXPECT_THROW(engine.add({.sequence = &sequence(), .prompt = {100}}), InputError);
  EXPECT_THROW(engine.add({.sequence = &sequence(), .prompt = {-1}}), InputError);
  EXPECT_THROW(engine.add({.sequence = &sequence(), .prompt = std::vector<int32_t>(65, 1)}),
               InputError);
}

TEST_F(EngineTest, ContinuesOverTheSameCacheInTheNextTurn) {
  Sequence& shared = sequence();
  for (const int32_t start : {10, 30}) {
    Engine engine(model_, nullptr, {});
    engine.add({.sequence = &shared, .prompt = {start}, .params = {.max_new_tokens = 2}});
    EXPECT_EQ(run(engine).front().ids, (std::vector<int32_t>{start + 1, start + 2}));
  }
  EXPECT_EQ(shared.tokens(),
            4);  // two prompts and two sampled tokens; the last is not yet appended
}

}  // namespace
}  // namespace dms::engine
