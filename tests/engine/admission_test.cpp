// Who is let in where bytes are free that serve nobody: memory cut into pieces of several sizes.

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/engine_fixture.h"

namespace dms::engine {
namespace {

using testing::SizeIs;

class AdmissionTest : public EngineTest {
 protected:
  AdmissionTest() { model_.limit_tokens = 400; }  // bytes are never short

  /// Most sequences of a pass.
  size_t most_together() const {
    size_t most = 0;
    for (const auto& pass : model_.passes) most = std::max(most, pass.size());
    return most;
  }
};

TEST_P(AdmissionTest, WhoFindsNoPlaceWaitsAndNobodyIsPreempted) {
  model_.places = [](std::span<const Expectation>) { return false; };
  engine();
  std::vector<Heard> heard(3);
  for (Heard& one : heard) ask(one, Ids(12, 7), {.max_new_tokens = 5});
  run();
  for (const Heard& one : heard) EXPECT_EQ(one.result().ids, alone_.answer(Ids(12, 7), 5));
  EXPECT_EQ(most_together(), 1u);
  EXPECT_EQ(engine_->stats().preemptions, 0);
}

// Of a prompt under way what is still to come, of the next all of it.
TEST_P(AdmissionTest, PlacesAreSoughtForAllThatIsPromised) {
  std::vector<std::vector<Expectation>> asked;
  model_.places = [&](std::span<const Expectation> expected) {
    asked.emplace_back(expected.begin(), expected.end());
    return asked.size() > 2;
  };
  engine();
  std::vector<Heard> heard(2);
  for (Heard& one : heard) ask(one, Ids(2 * kChunk, 7), {.max_new_tokens = 5});
  run();
  ASSERT_THAT(asked, SizeIs(3));
  const int64_t whole = 2 * kChunk;
  EXPECT_THAT(asked[0], SizeIs(2)) << "the first is in its prompt, the other waits";
  EXPECT_EQ(asked[0][0].from_tokens, 0);
  EXPECT_EQ(asked[1][0].from_tokens, kChunk) << "a chunk is there";
  EXPECT_THAT(asked[2], SizeIs(1)) << "the first answers";
  for (const auto& expected : asked) {
    EXPECT_EQ(expected.back().from_tokens, 0);
    for (const Expectation& one : expected) EXPECT_EQ(one.to_tokens, whole);
  }
  EXPECT_EQ(most_together(), 2u);
}

TEST_P(AdmissionTest, CachedPrefixesMakePlaces) {
  engine({.chunk_tokens = kChunk, .max_step_tokens = 2 * kChunk, .prefix_cache = true});
  Heard before;
  ask(before, Ids(12, 3), {.max_new_tokens = 2});
  run();
  ASSERT_GT(engine_->stats().cached_prefixes, 0);
  model_.places = [&](std::span<const Expectation>) { return model_.live_sequences <= 1; };
  std::vector<Heard> heard(2);
  for (size_t i = 0; i < heard.size(); ++i) {
    ask(heard[i], Ids(12, static_cast<int32_t>(i + 1)), {.max_new_tokens = 5});
  }
  engine_->step();
  EXPECT_THAT(model_.passes.back(), SizeIs(2)) << "side by side";
  run();
  EXPECT_EQ(engine_->stats().preemptions, 0);
}

TEST_P(AdmissionTest, CachedPrefixesGiveWayToWhatIsRead) {
  engine({.chunk_tokens = kChunk, .max_step_tokens = 2 * kChunk, .prefix_cache = true});
  Heard heard;
  ask(heard, Ids(12, 3), {.max_new_tokens = 2});
  run();
  ASSERT_GT(engine_->stats().cached_prefixes, 1);
  const auto plan = model_.plan({});
  const Expectation file{.plan = plan.get(), .to_tokens = 20};
  engine_->make_room(file);
  EXPECT_GT(model_.live_sequences, 1) << "it finds a place";
  model_.places = [&](std::span<const Expectation>) { return model_.live_sequences <= 1; };
  engine_->make_room({.plan = plan.get(), .to_tokens = 401});
  EXPECT_GT(model_.live_sequences, 1) << "so much never fits";
  engine_->make_room(file);
  EXPECT_EQ(model_.live_sequences, 1) << "no more than it takes";
}

INSTANTIATE_TEST_SUITE_P(On, AdmissionTest, testing::ValuesIn(kBackends), backend_case_name);

}  // namespace
}  // namespace dms::engine
