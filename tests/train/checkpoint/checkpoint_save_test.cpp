// The protocol of one save: ranks, full disks, and runs that are killed at any moment.

#include "train/checkpoint/checkpoint_save.h"

#include <csignal>
#include <deque>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/input_file.h"
#include "model/spec/safetensors_writer.h"
#include "support/errors.h"
#include "support/file_limit.h"
#include "support/seed.h"
#include "support/shapes.h"
#include "support/temp_folder.h"
#include "train/checkpoint/checkpoint_folder.h"
#include "train/checkpoint/checkpoints.h"

namespace dms::train {
namespace {

namespace fs = std::filesystem;
using testing_support::expect_parts;
using testing_support::FileLimit;
using testing_support::input_error;
using testing_support::names_in;
using testing_support::put_file;
using testing_support::run_error;
using testing_support::save_checkpoint;
using testing_support::TempFolder;
using Names = std::set<std::string>;

TEST(CheckpointSaveTest, RanksWriteIntoOneFolderThatRankZeroFinishes) {
  const TempFolder run;
  const fs::path output = run.path() / "new" / "output";
  std::deque<CheckpointSave> saves;
  for (const int64_t rank : {0, 1, 2}) {
    saves.emplace_back(output,
                       SaveOptions{.step = 40, .rank = rank, .world_size = 3, .run_id = "77"});
  }
  for (CheckpointSave& save : saves) save.begin();
  for (size_t rank = 0; rank < saves.size(); ++rank) {
    const std::string name = "optimizer-" + std::to_string(rank);
    EXPECT_EQ(saves[rank].path_for(name), output / "checkpoint-40.tmp-77" / name);
    put_file(saves[rank].path_for(name), "of rank " + std::to_string(rank));
  }
  EXPECT_EQ(saves[1].finish(), output / "checkpoint-40");
  EXPECT_FALSE(fs::exists(output / "checkpoint-40"));  // rank 0 alone puts it in place
  EXPECT_EQ(saves[0].finish(), output / "checkpoint-40");
  const CheckpointFolder folder = open_checkpoint_folder(output / "checkpoint-40");
  EXPECT_EQ(folder.manifest.world_size, 3);
  EXPECT_EQ(folder.manifest.files.size(), 3u);
  EXPECT_EQ(read_text_file(folder.file("optimizer-2"), 100), "of rank 2");
  EXPECT_EQ(names_in(output), Names{"checkpoint-40"});
}

TEST(CheckpointSaveTest, ASecondSaveOfAStepReplacesTheFirst) {
  const TempFolder run;
  save_checkpoint(run.path(), 5, "first");
  const fs::path path = save_checkpoint(run.path(), 5, "second, longer");
  EXPECT_EQ(read_text_file(open_checkpoint_folder(path).file("weights"), 100), "second, longer");
  EXPECT_EQ(names_in(run.path()), Names{"checkpoint-5"});
}

TEST(CheckpointSaveTest, ASaveThatIsGivenUpLeavesNothing) {
  const TempFolder run;
  save_checkpoint(run.path(), 1);
  {
    CheckpointSave save(run.path(), {.step = 2});
    save.begin();
    put_file(save.path_for("weights"), "half");
  }
  EXPECT_EQ(names_in(run.path()), Names{"checkpoint-1"});
}

TEST(CheckpointSaveTest, LeftoversOfDeadRunsGoAtTheNextSave) {
  const TempFolder run;
  run.write("checkpoint-3.tmp-123/weights", "half");
  run.write("checkpoint-4.tmp-old-9/weights", "half");
  run.write("notes.tmp-1/mine", "not a checkpoint");
  CheckpointSave other(run.path(), {.step = 9, .run_id = "alive"});
  other.begin();
  save_checkpoint(run.path(), 5);
  EXPECT_EQ(names_in(run.path()), (Names{"checkpoint-5", "checkpoint-9.tmp-alive", "notes.tmp-1"}));
}

TEST(CheckpointSaveTest, AFullDiskKeepsTheOldCheckpointsAndRemovesTheNewOne) {
  const TempFolder run;
  save_checkpoint(run.path(), 1);
  const auto save_large = [&] {
    CheckpointSave save(run.path(), {.step = 2});
    save.begin();
    const std::vector<float> values(500'000);
    SafetensorsWriter writer(save.path_for("weights"), {{"w", "F32", {std::ssize(values)}}});
    writer.write_floats(values);
    writer.close();
    save.finish();
  };
  {
    const FileLimit limit(100'000);
    expect_parts(run_error(save_large), {"weights", "cannot be written"});
  }
  EXPECT_EQ(names_in(run.path()), Names{"checkpoint-1"});
  EXPECT_EQ(latest_checkpoint(run.path())->manifest.step, 1);
  save_large();
  EXPECT_EQ(latest_checkpoint(run.path())->manifest.step, 2);
}

TEST(CheckpointSaveTest, ADiskThatFillsAtTheManifestKeepsTheOldCheckpoint) {
  const TempFolder run;
  save_checkpoint(run.path(), 7, "old");
  CheckpointSave save(run.path(), {.step = 7});
  save.begin();
  put_file(save.path_for("weights"), "new");
  {
    const FileLimit limit(20);
    expect_parts(run_error([&] { save.finish(); }), {"manifest.json", "cannot be written"});
  }
  EXPECT_EQ(names_in(run.path()), Names{"checkpoint-7"});  // though `save` still lives
  EXPECT_EQ(read_text_file(open_checkpoint_folder(run.path() / "checkpoint-7").file("weights"), 9),
            "old");
}

TEST(CheckpointSaveTest, AnOutputFolderThatCannotBeIsABadInput) {
  const TempFolder run;
  const fs::path file = run.write("file", "");
  CheckpointSave save(file / "output", {.step = 1});
  expect_parts(input_error([&] { save.begin(); }), {"output", "cannot be written"});
}

TEST(CheckpointSaveTest, MisuseIsCaught) {
  const TempFolder run;
  EXPECT_THROW(CheckpointSave(run.path(), {.step = -1}), std::logic_error);
  EXPECT_THROW(CheckpointSave(run.path(), {.rank = 1}), std::logic_error);
  EXPECT_THROW(CheckpointSave(run.path(), {.world_size = 2}), std::logic_error);  // no run id
  CheckpointSave save(run.path(), {.step = 1});
  for (const char* name : {"", "a/b", "../x", "manifest.json"}) {
    EXPECT_THROW(save.path_for(name), std::logic_error) << name;
  }
  EXPECT_THROW(save.finish(), std::logic_error);  // never begun
}

/// Saves checkpoints 1, 2, … and prunes, telling each finished step through `report`.
[[noreturn]] void save_until_killed(const fs::path& output, int report) {
  for (int64_t step = 1;; ++step) {
    CheckpointSave save(output, {.step = (step + 1) / 2});  // each step twice: replacing, too
    save.begin();
    put_file(save.path_for("weights"), std::string(20'000, static_cast<char>('a' + step % 20)));
    put_file(save.path_for("state"), std::to_string(step));
    save.finish();
    prune_checkpoints(output, 2);
    const int64_t finished = (step + 1) / 2;
    if (::write(report, &finished, sizeof(finished)) != sizeof(finished)) std::_Exit(1);
  }
}

/// Kills a saving process after `delay_us` and returns the last step that it told.
int64_t kill_while_saving(const fs::path& output, useconds_t delay_us) {
  int ends[2];
  if (::pipe(ends) != 0) throw std::runtime_error("no pipe");
  const pid_t child = ::fork();
  if (child == 0) save_until_killed(output, ends[1]);
  ::close(ends[1]);
  ::usleep(delay_us);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  int64_t last = 0;
  while (::read(ends[0], &last, sizeof(last)) == sizeof(last)) {
  }
  ::close(ends[0]);
  return last;
}

TEST(CheckpointSaveTest, AKilledRunLeavesOnlyWholeCheckpoints) {
  std::mt19937_64 random(testing_support::seed());
  for (int64_t trial = 0; trial < testing_support::trials(24); ++trial) {
    SCOPED_TRACE("seed " + std::to_string(testing_support::seed()) + ", trial " +
                 std::to_string(trial));
    const TempFolder run;
    const int64_t last = kill_while_saving(run.path(), static_cast<useconds_t>(random() % 60'000));
    for (const std::string& name : names_in(run.path())) {
      if (!checkpoint_step(name)) continue;
      EXPECT_NO_THROW(open_checkpoint_folder(run.path() / name)) << name;
    }
    const auto latest = latest_checkpoint(run.path());
    if (last > 0) {
      ASSERT_TRUE(latest);
      EXPECT_GE(latest->manifest.step, last);
    }
    save_checkpoint(run.path(), 1'000'000);
    for (const std::string& name : names_in(run.path())) EXPECT_TRUE(checkpoint_step(name)) << name;
  }
}

}  // namespace
}  // namespace dms::train
