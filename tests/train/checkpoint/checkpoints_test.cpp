#include "train/checkpoint/checkpoints.h"

#include <string>

#include <gtest/gtest.h>

#include "support/errors.h"
#include "support/temp_folder.h"
#include "train/checkpoint/checkpoint_folder.h"

namespace dms::train {
namespace {

namespace fs = std::filesystem;
using testing_support::expect_parts;
using testing_support::input_error;
using testing_support::names_in;
using testing_support::put_file;
using testing_support::save_checkpoint;
using testing_support::TempFolder;
using Names = std::set<std::string>;

TEST(Checkpoints, NamesAndStepsBelongTogether) {
  for (const int64_t step : {int64_t{0}, int64_t{7}, int64_t{1000}, int64_t{123456789012345}}) {
    EXPECT_EQ(checkpoint_step(checkpoint_name(step)), step);
  }
  for (const char* name : {"checkpoint-",
                           "checkpoint--5",
                           "checkpoint--0",
                           "checkpoint-5.tmp-3",
                           "checkpoint-x",
                           "checkpoint-5x",
                           "checkpoint-+5",
                           "xcheckpoint-5",
                           "checkpoint",
                           "checkpoint-99999999999999999999",
                           ""}) {
    EXPECT_EQ(checkpoint_step(name), std::nullopt) << name;
  }
}

TEST(Checkpoints, TheNewestIsByStepNotByName) {
  const TempFolder run;
  EXPECT_EQ(latest_checkpoint(run.path()), std::nullopt);
  EXPECT_EQ(latest_checkpoint(run.path() / "gone"), std::nullopt);
  for (const int64_t step : {90, 1000, 200}) save_checkpoint(run.path(), step);
  fs::create_directory(run.path() / "checkpoint-5000.tmp-9");
  put_file(run.path() / "checkpoint-6000", "not a folder");
  const auto latest = latest_checkpoint(run.path());
  ASSERT_TRUE(latest);
  EXPECT_EQ(latest->path, run.path() / "checkpoint-1000");
  EXPECT_EQ(latest->manifest.step, 1000);
  EXPECT_TRUE(latest->notes.empty());
}

TEST(Checkpoints, AnOutputFolderThatIsNoFolderIsNotAFreshStart) {
  const TempFolder run;
  const fs::path file = run.write("file", "");
  expect_parts(input_error([&] { latest_checkpoint(file); }), {file.string(), "cannot be read"});
}

TEST(Checkpoints, ADamagedNewestOneIsPassedOverWithANote) {
  const TempFolder run;
  for (const int64_t step : {1, 2, 3, 4}) save_checkpoint(run.path(), step);
  put_file(run.path() / "checkpoint-4" / "weights", "weightz");
  fs::remove(run.path() / "checkpoint-3" / "manifest.json");
  const auto latest = latest_checkpoint(run.path());
  ASSERT_TRUE(latest);
  EXPECT_EQ(latest->manifest.step, 2);
  ASSERT_EQ(latest->notes.size(), 2u);
  expect_parts(latest->notes[0], {"checkpoint-4", "weights", "damaged"});
  expect_parts(latest->notes[1], {"checkpoint-3", "manifest.json", "missing"});
}

TEST(Checkpoints, WhereAllAreDamagedTheRunDoesNotBeginAnewByItself) {
  const TempFolder run;
  for (const int64_t step : {1, 2}) {
    put_file(save_checkpoint(run.path(), step) / "weights", "short");
  }
  expect_parts(input_error([&] { latest_checkpoint(run.path()); }),
               {run.path().string(), "no checkpoint to resume from", "checkpoint-2", "shorter"});
}

TEST(Checkpoints, ANamedOneIsOpenedOrRefusedWithTheReason) {
  const TempFolder run;
  const fs::path path = save_checkpoint(run.path(), 3, "content");
  fs::rename(path, run.path() / "best");  // users rename what they keep
  const CheckpointFolder folder = open_checkpoint_folder(run.path() / "best");
  EXPECT_EQ(folder.manifest.step, 3);
  EXPECT_EQ(folder.file("weights"), run.path() / "best" / "weights");
  expect_parts(input_error([&] { folder.file("optimizer-1"); }), {"optimizer-1", "1 ranks"});
  expect_parts(input_error([&] { open_checkpoint_folder(run.path() / "gone"); }),
               {"gone", "no such checkpoint"});
  save_checkpoint(run.path(), 8);
  expect_parts(input_error([&] { open_checkpoint_folder(run.path()); }),
               {"manifest.json", "missing", "did you mean", "checkpoint-8"});
  put_file(run.path() / "best" / "weights", "Content");
  expect_parts(input_error([&] { open_checkpoint_folder(run.path() / "best"); }),
               {"best/weights", "damaged"});
}

TEST(Checkpoints, PruningKeepsTheNewest) {
  const TempFolder run;
  for (const int64_t step : {5, 100, 30, 20}) save_checkpoint(run.path(), step);
  prune_checkpoints(run.path(), 0);
  EXPECT_EQ(names_in(run.path()).size(), 4u);
  prune_checkpoints(run.path(), 2);
  EXPECT_EQ(names_in(run.path()), (Names{"checkpoint-100", "checkpoint-30"}));
  prune_checkpoints(run.path(), 9);
  EXPECT_EQ(names_in(run.path()).size(), 2u);
  prune_checkpoints(run.path(), 1);
  EXPECT_EQ(names_in(run.path()), Names{"checkpoint-100"});
  prune_checkpoints(run.path() / "gone", 1);
}

TEST(Checkpoints, PruningNeverTakesTheNewestWholeOne) {
  const TempFolder run;
  for (const int64_t step : {1, 2, 3, 4}) save_checkpoint(run.path(), step);
  put_file(run.path() / "checkpoint-4" / "weights", "short");
  fs::remove(run.path() / "checkpoint-3" / "manifest.json");
  prune_checkpoints(run.path(), 1);
  EXPECT_EQ(names_in(run.path()), (Names{"checkpoint-2", "checkpoint-4"}));
  EXPECT_EQ(latest_checkpoint(run.path())->manifest.step, 2);
}

}  // namespace
}  // namespace dms::train
