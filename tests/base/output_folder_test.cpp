#include "base/output_folder.h"

#include <csignal>
#include <fstream>
#include <random>
#include <set>
#include <string>

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/input_file.h"
#include "base/output_file.h"
#include "support/errors.h"
#include "support/seed.h"
#include "support/shapes.h"
#include "support/temp_folder.h"

namespace dms {
namespace {

namespace fs = std::filesystem;
using testing_support::expect_parts;
using testing_support::input_error;
using testing_support::TempFolder;

std::set<std::string> names_in(const fs::path& folder) {
  std::set<std::string> names;
  for (const auto& item : fs::directory_iterator(folder)) {
    names.insert(item.path().filename().string());
  }
  return names;
}

bool accept_all(std::string_view) { return true; }

TEST(OutputFolder, AppearsWholeAtCommit) {
  const TempFolder parent;
  const fs::path target = parent.path() / "model";
  OutputFolder folder(target, "7");
  EXPECT_EQ(folder.path(), temporary_name(target, "7"));
  fs::create_directory(folder.path() / "deep");
  write_text_file(folder.path() / "deep" / "a", "1");
  EXPECT_FALSE(fs::exists(target));
  folder.commit();
  EXPECT_EQ(names_in(parent.path()), std::set<std::string>{"model"});
  EXPECT_EQ(read_text_file(target / "deep" / "a", 10), "1");
}

TEST(OutputFolder, ReplacesWhatWasThere) {
  const TempFolder parent;
  const fs::path target = parent.path() / "model";
  for (const std::string content : {"empty", "first", "second"}) {
    if (content == "empty") {
      fs::create_directory(target);
      continue;
    }
    OutputFolder folder(target);
    write_text_file(folder.path() / content, content);
    folder.commit();
    EXPECT_EQ(names_in(target), std::set<std::string>{content});
    EXPECT_EQ(names_in(parent.path()), std::set<std::string>{"model"});
  }
}

TEST(OutputFolder, LeavesNothingWhenItIsGivenUp) {
  const TempFolder parent;
  {
    OutputFolder folder(parent.path() / "model");
    write_text_file(folder.path() / "a", "1");
  }
  EXPECT_EQ(names_in(parent.path()), std::set<std::string>{});
}

TEST(OutputFolder, NeedsAParent) {
  const TempFolder parent;
  const fs::path target = parent.path() / "gone" / "model";
  expect_parts(input_error([&] { OutputFolder{target}; }), {target.string()});
}

TEST(OutputFolder, AFileInItsPlaceStays) {
  const TempFolder parent;
  const fs::path target = parent.write("model", "a file");
  OutputFolder folder(target);
  expect_parts(input_error([&] { folder.commit(); }), {target.string(), "cannot be written"});
  EXPECT_EQ(read_text_file(target, 10), "a file");
}

/// Begins a folder in another process, which then waits to be killed; returns its id.
pid_t begin_elsewhere(const fs::path& target) {
  int ready[2];
  if (::pipe(ready) != 0) throw std::runtime_error("no pipe");
  const pid_t child = ::fork();
  if (child == 0) {
    OutputFolder folder(target, "elsewhere");
    write_text_file(folder.path() / "a", "1");
    [[maybe_unused]] const ssize_t written = ::write(ready[1], "x", 1);
    for (;;) ::pause();
  }
  char byte = 0;
  if (::read(ready[0], &byte, 1) != 1) throw std::runtime_error("the child has failed");
  ::close(ready[0]);
  ::close(ready[1]);
  return child;
}

TEST(OutputFolder, LeftoversOfTheDeadGoAndThoseOfTheLivingStay) {
  const TempFolder parent;
  const pid_t child = begin_elsewhere(parent.path() / "model");
  fs::create_directory(parent.path() / "other.tmp-1");
  fs::create_directory(parent.path() / "model.tmp-1");
  write_text_file(parent.path() / "model.tmp-1" / "a", "1");
  const auto is_model = [](std::string_view name) { return name == "model"; };
  remove_leftovers(parent.path(), is_model);
  EXPECT_EQ(names_in(parent.path()), (std::set<std::string>{"model.tmp-elsewhere", "other.tmp-1"}));
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  remove_leftovers(parent.path(), is_model);
  EXPECT_EQ(names_in(parent.path()), std::set<std::string>{"other.tmp-1"});
  remove_leftovers(parent.path() / "gone", accept_all);  // nothing to do
}

TEST(OutputFolder, AFolderInTheMakingIsNobodysLeftover) {
  const TempFolder parent;
  OutputFolder folder(parent.path() / "model", "a");
  remove_leftovers(parent.path(), accept_all);
  write_text_file(folder.path() / "a", "1");
  folder.commit();
  EXPECT_EQ(names_in(parent.path() / "model"), std::set<std::string>{"a"});
}

TEST(OutputFolder, RemovingTakesAWholeFolder) {
  const TempFolder parent;
  parent.write("model/deep/a", "1");
  remove_folder(parent.path() / "model");
  EXPECT_EQ(names_in(parent.path()), std::set<std::string>{});
}

constexpr int kFiles = 300;

/// Makes a folder of kFiles files and removes it, again and again.
[[noreturn]] void remove_until_killed(const fs::path& folder) {
  const fs::path making = folder.parent_path() / "making";
  for (;;) {
    fs::create_directory(making);
    for (int i = 0; i < kFiles; ++i) std::ofstream(making / std::to_string(i)) << i;
    fs::rename(making, folder);
    remove_folder(folder);
  }
}

TEST(OutputFolder, AKilledRemovalIsNeverSeenHalfDone) {
  std::mt19937_64 random(testing_support::seed());
  for (int64_t trial = 0; trial < testing_support::trials(40); ++trial) {
    const TempFolder parent;
    const fs::path folder = parent.path() / "model";
    const pid_t child = ::fork();
    if (child == 0) remove_until_killed(folder);
    ::usleep(static_cast<useconds_t>(random() % 40'000));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    if (!fs::exists(folder)) continue;
    EXPECT_EQ(names_in(folder).size(), static_cast<size_t>(kFiles))
        << "seed " << testing_support::seed() << ", trial " << trial;
  }
}

}  // namespace
}  // namespace dms
