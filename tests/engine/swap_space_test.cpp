// Where preempted sequences wait, and what becomes of them where they can't: on a full disk, in a
// folder that is gone, with no room to come back to.

#include "engine/swap_space.h"

#include <filesystem>

#include <gtest/gtest.h>

#include "engine/engine_fixture.h"
#include "support/file_limit.h"
#include "support/temp_folder.h"

namespace dms::engine {
namespace {

using testing_support::FileLimit;
using testing_support::TempFolder;

constexpr int64_t kLimit = 1000;

TEST(SwapSpace, HoldsWhatItIsGivenUpToItsLimit) {
  const TempFolder folder;
  for (const auto& place : {std::filesystem::path(), folder.path()}) {
    SwapSpace space(kLimit, place);
    const std::string bytes(600, 'a');
    auto slot = space.put(bytes);
    ASSERT_TRUE(slot);
    EXPECT_EQ(slot->read(), bytes);
    EXPECT_EQ(space.put(bytes), nullptr);
    EXPECT_EQ(space.used_bytes(), 600);
    slot.reset();
    EXPECT_EQ(space.used_bytes(), 0);
    EXPECT_TRUE(space.put(bytes));
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(SwapSpace, HasNoRoomOnAFullDisk) {
  const TempFolder folder;
  SwapSpace space(kLimit, folder.path());
  {
    const FileLimit full(100);
    EXPECT_EQ(space.put(std::string(600, 'a')), nullptr);
  }
  EXPECT_EQ(space.used_bytes(), 0);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  EXPECT_TRUE(space.put(std::string(600, 'a'))) << "the disk has room again";
}

class SwappedTest : public EngineTest {
 protected:
  /// Requests that do not fit side by side: each gives the answer it has alone.
  EngineStats crowd(const std::filesystem::path& folder) {
    model_.limit_tokens = 70;
    engine({.chunk_tokens = kChunk,
            .max_step_tokens = 2 * kChunk,
            .swap_bytes = 1 << 20,
            .swap_folder = folder});
    std::array<Heard, 5> heard;
    for (size_t i = 0; i < heard.size(); ++i) {
      ask(heard[i], prompt(i), {.max_new_tokens = 30, .ignore_eos = true});
    }
    run();
    for (size_t i = 0; i < heard.size(); ++i) {
      EXPECT_EQ(heard[i].result().error, "");
      EXPECT_EQ(heard[i].tokens, alone_.answer(prompt(i), 30)) << i;
    }
    EXPECT_EQ(model_.live_sequences, 0);
    EXPECT_EQ(engine_->stats().swapped_bytes, 0);
    return engine_->stats();
  }

 private:
  static Ids prompt(size_t i) { return Ids(12, static_cast<int32_t>(i)); }
};

TEST_P(SwappedTest, WhatWaitsInFilesGoesOn) {
  const TempFolder folder;
  const EngineStats stats = crowd(folder.path());
  EXPECT_GT(stats.swaps, 0);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST_P(SwappedTest, AFullDiskCostsComputingAgain) {
  const TempFolder folder;
  const FileLimit full(10);
  const EngineStats stats = crowd(folder.path());
  EXPECT_GT(stats.preemptions, 0);
  EXPECT_EQ(stats.swaps, 0);
}

TEST_P(SwappedTest, AFolderThatIsGoneCostsComputingAgain) {
  const EngineStats stats = crowd("/nonexistent/folder");
  EXPECT_GT(stats.preemptions, 0);
  EXPECT_EQ(stats.swaps, 0);
}

TEST_P(SwappedTest, NoRoomToComeBackToCostsComputingAgain) {
  model_.has_room_to_read = false;
  const EngineStats stats = crowd({});
  EXPECT_GT(stats.swaps, 0);
  EXPECT_GT(model_.refused_reads, 0);
}

INSTANTIATE_TEST_SUITE_P(On, SwappedTest, testing::ValuesIn(kBackends), backend_case_name);

}  // namespace
}  // namespace dms::engine
