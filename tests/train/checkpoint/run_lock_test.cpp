#include "train/checkpoint/run_lock.h"

#include <optional>
#include <string>

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/errors.h"
#include "support/temp_folder.h"

namespace dms::train {
namespace {

using testing_support::expect_parts;
using testing_support::input_error;
using testing_support::TempFolder;

TEST(RunLock, SecondRunIsRefusedUntilTheFirstIsGone) {
  const TempFolder folder;
  const auto out = folder.path() / "run";
  std::optional<RunLock> first(out);
  expect_parts(input_error([&] { const RunLock second(out); }),
               {out.string(), "another run is writing there", std::to_string(getpid())});
  first.reset();
  const RunLock again(out);
}

/// As a run that is killed: nothing has to be cleaned up after it.
TEST(RunLock, GoesWithItsProcess) {
  const TempFolder folder;
  const pid_t child = fork();
  if (child == 0) {
    const RunLock held(folder.path());
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  const RunLock ours(folder.path());
}

TEST(RunLock, FolderThatCannotBeWritten) {
  const TempFolder folder;
  const auto file = folder.write("file", "");

  expect_parts(input_error([&] { const RunLock lock(file / "run"); }),
               {"cannot be written", "hf_trainer.output_dir"});
}

}  // namespace
}  // namespace dms::train
