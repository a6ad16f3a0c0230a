// Sequences that outlive a request, on every model behind the engine's seam: continued, taken back,
// forked, saved, and computed again where something was lost.

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dms/error.h"
#include "engine/engine_fixture.h"

namespace dms::engine {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;
using testing_support::WatchedModel;

class EngineSequenceTest : public EngineTest {};

TEST_P(EngineSequenceTest, ContinuesOverTheSameSequence) {
  engine();
  const auto shared = sequence();
  const Ids first = go_on(shared, {10}, 2).result().ids;
  EXPECT_EQ(first, alone_.answer(Ids{10}, 2));
  const Ids second = go_on(shared, {30}, 2).result().ids;
  EXPECT_EQ(second, alone_.answer(Ids{10, first[0], 30}, 2));
  // Two prompts and two sampled tokens; the last is not yet appended.
  EXPECT_THAT(shared->ids(), ElementsAre(10, first[0], 30, second[0]));
}

TEST_P(EngineSequenceTest, ASequenceServesOneRequestAtATime) {
  engine();
  const auto shared = sequence();
  const auto submit = [&](Heard& heard) {
    engine_->submit(
        {.request = {.prompt = {1}, .sampling = {.max_new_tokens = 2}, .sink = into(heard)},
         .sequence = shared});
  };
  Heard first;
  Heard second;
  submit(first);
  EXPECT_THROW(submit(second), InputError);
  run();
  submit(second);
  run();
  EXPECT_THAT(second.result().ids, SizeIs(2));
}

TEST_P(EngineSequenceTest, APassThatFailsEndsItsRequestsAndLeavesSequencesUsable) {
  model_.failing_passes = {3};
  engine();
  const auto kept = sequence();
  Heard failed;
  engine_->submit(
      {.request = {.prompt = Ids(12, 7), .sampling = {.max_new_tokens = 5}, .sink = into(failed)},
       .sequence = kept});
  run();
  EXPECT_EQ(failed.result().finish_reason, "error");
  EXPECT_THAT(failed.result().error, HasSubstr("pass failed"));
  EXPECT_EQ(kept->tokens(), 12);
  EXPECT_THAT(kept->missing(), SizeIs(12));
  const Ids before(kept->ids().begin(), kept->ids().end());
  EXPECT_EQ(go_on(kept, {40}, 2).result().ids, alone_.answer(joined({before, {40}}), 2));
  expect_computed(*kept);
}

TEST_P(EngineSequenceTest, ASequenceThatFailsEndsItsRequestAndNoOther) {
  model_.is_failing = [](std::span<const int32_t> ids) {
    return ids.size() == 13 && ids.front() == 7;
  };
  engine();
  const auto kept = sequence();
  Heard failed;
  engine_->submit(
      {.request = {.prompt = Ids(12, 7), .sampling = {.max_new_tokens = 5}, .sink = into(failed)},
       .sequence = kept});
  Heard other;
  ask(other, {30, 31}, {.max_new_tokens = 9});
  run();
  EXPECT_EQ(failed.result().finish_reason, "error");
  EXPECT_THAT(failed.result().error, HasSubstr("sequence failed"));
  EXPECT_EQ(other.result().ids, alone_.answer(Ids{30, 31}, 9));
  EXPECT_EQ(kept->tokens(), 12);
  EXPECT_THAT(kept->missing(), SizeIs(12));
  model_.is_failing = [](std::span<const int32_t>) { return false; };
  EXPECT_EQ(go_on(kept, {40}, 2).result().ids, alone_.answer(joined({Ids(12, 7), {40}}), 2));
  expect_computed(*kept);
}

TEST_P(EngineSequenceTest, ComputesAgainWhatALongRollbackLost) {
  engine();
  const auto kept = sequence();
  go_on(kept, Ids(20, 7), 1);
  kept->truncate(18);
  EXPECT_TRUE(kept->missing().empty()) << "four tokens go back at once";
  kept->truncate(10);
  EXPECT_THAT(kept->missing(), SizeIs(10));
  const Heard second = go_on(kept, {40}, 2);
  const Ids& answer = second.result().ids;
  EXPECT_EQ(answer, alone_.answer(joined({Ids(10, 7), {40}}), 2));
  EXPECT_THAT(second.prompt_done, ElementsAre(8, 10, 11)) << "what was lost counts";
  EXPECT_EQ(WatchedModel::computed(kept->state()), joined({Ids(10, 7), {40, answer[0]}}));
  EXPECT_THROW(kept->truncate(13), InputError);
  EXPECT_THROW(kept->truncate(-1), InputError);
}

TEST_P(EngineSequenceTest, AnEmptyPromptCatchesUp) {
  engine();
  const auto kept = sequence();
  go_on(kept, Ids(20, 7), 0);
  kept->truncate(5);
  EXPECT_EQ(go_on(kept, {}, 0).result().finish_reason, "length");
  EXPECT_EQ(WatchedModel::computed(kept->state()), Ids(5, 7));
}

class EngineBorderTest : public EngineTest {
 protected:
  static constexpr int64_t kBorder = 16;
  EngineBorderTest() : EngineTest(kBorder) {}
};

TEST_P(EngineBorderTest, BeyondItASequenceIsComputedOnceForTheWholeContext) {
  engine();
  const auto kept = sequence();
  EXPECT_THAT(go_on(kept, Ids(12, 7), 20).result().ids, SizeIs(20));
  EXPECT_EQ(WatchedModel::length_fixed_for(kept->state()), kContext);
  expect_computed(*kept);
  int64_t computed = 0;
  for (const auto& pass : model_.passes) computed += pass.at(0);
  EXPECT_EQ(computed, 31 + kBorder) << "sixteen tokens twice, the others once";
}

TEST_P(EngineSequenceTest, ForksGoOnIndependently) {
  engine();
  const auto trunk = sequence();
  go_on(trunk, Ids(20, 7), 0);
  const auto branch = trunk->fork();
  EXPECT_EQ(go_on(branch, {8}, 4).result().ids, alone_.answer(joined({Ids(20, 7), {8}}), 4));
  EXPECT_EQ(go_on(trunk, {9}, 4).result().ids, alone_.answer(joined({Ids(20, 7), {9}}), 4));
  expect_computed(*trunk);
  expect_computed(*branch);
}

TEST_P(EngineSequenceTest, ASequenceReadBackGoesOnAsIfNeverInterrupted) {
  engine();
  const auto kept = sequence();
  go_on(kept, Ids(30, 7), 0);
  kept->truncate(27);
  ByteWriter out;
  kept->write(out);
  ByteReader in(out.data(), "saved");
  const auto restored = Sequence::read(in, model_, model_.plan({}));
  EXPECT_EQ(in.left(), 0);
  EXPECT_EQ(go_on(restored, {8}, 4).result().ids, go_on(kept, {8}, 4).result().ids);
  EXPECT_EQ(restored->state().decisions(), kept->state().decisions());
  expect_computed(*restored);
  for (size_t length = 0; length < out.data().size(); length += 97) {
    ByteReader cut(out.data().substr(0, length), "cut");
    EXPECT_THROW(Sequence::read(cut, model_, model_.plan({})), InputError) << length;
  }
}

TEST_P(EngineSequenceTest, KnowsWhereItsPromptsBegan) {
  engine();
  const auto kept = sequence();
  go_on(kept, Ids(20, 7), 5);  // 24 tokens: an answer's last one is not in it
  go_on(kept, {8}, 0);
  go_on(kept, Ids(10, 9), 0);
  const auto begins = [](const Sequence& of) {
    Ids all;
    for (const int64_t tokens : {0, 19, 20, 24, 25, 30, 34, 35}) {
      all.push_back(static_cast<int32_t>(of.before_prompt_at(tokens)));
    }
    return all;
  };
  EXPECT_EQ(begins(*kept), (Ids{0, 0, 20, 24, 25, 25, 25, 35}));
  EXPECT_EQ(begins(*kept->fork()), begins(*kept));
  ByteWriter out;
  kept->write(out);
  ByteReader in(out.data(), "saved");
  EXPECT_EQ(begins(*Sequence::read(in, model_, model_.plan({}))), begins(*kept));
  kept->begin_prompt(9);  // one that was stopped before its first token
  ByteWriter stopped;
  kept->write(stopped);
  EXPECT_EQ(stopped.data(), out.data());
  kept->truncate(30);
  EXPECT_EQ(begins(*kept), (Ids{0, 0, 20, 24, 25, 30, 34, 35}));
  kept->truncate(12);
  EXPECT_EQ(kept->before_prompt_at(11), 0);
  EXPECT_EQ(kept->before_prompt_at(12), 12);
}

TEST_P(EngineSequenceTest, RefusesPromptsThatItCannotHaveHad) {
  engine();
  const auto kept = sequence();
  go_on(kept, Ids(20, 7), 0);
  ByteWriter out;
  kept->write(out);
  struct Prompt {
    int64_t begin, end;
  };
  constexpr size_t kOne = sizeof(int64_t) + sizeof(Prompt);  // their number and one of them
  const std::string before(out.data().substr(0, out.data().size() - kOne));
  const auto read_with = [&](const std::vector<Prompt>& prompts) {
    ByteWriter changed;
    changed.bytes(std::as_bytes(std::span(before)));
    changed.list(std::span(prompts));
    ByteReader in(changed.data(), "changed");
    return Sequence::read(in, model_, model_.plan({}))->before_prompt_at(8);
  };
  EXPECT_EQ(read_with({{0, 20}}), 0);
  EXPECT_EQ(read_with({{0, 5}, {6, 99}}), 6);
  for (const std::vector<Prompt>& wrong :
       {std::vector<Prompt>{{20, 25}}, {{-1, 5}}, {{5, 5}}, {{0, 8}, {7, 9}}}) {
    EXPECT_THROW(read_with(wrong), InputError);
  }
}

INSTANTIATE_TEST_SUITE_P(On, EngineSequenceTest, testing::ValuesIn(kBackends), backend_case_name);
INSTANTIATE_TEST_SUITE_P(On, EngineBorderTest, testing::ValuesIn(kBackends), backend_case_name);

}  // namespace
}  // namespace dms::engine
