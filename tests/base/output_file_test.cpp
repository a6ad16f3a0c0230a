#include "base/output_file.h"

#include <cerrno>
#include <csignal>
#include <fstream>
#include <span>
#include <string>
#include <thread>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/input_file.h"
#include "support/errors.h"
#include "support/file_limit.h"
#include "support/temp_folder.h"

namespace dms {
namespace {

namespace fs = std::filesystem;
using testing_support::error_of;
using testing_support::expect_parts;
using testing_support::FileLimit;
using testing_support::input_error;
using testing_support::run_error;
using testing_support::TempFolder;

constexpr int64_t kMaxBytes = int64_t{1} << 30;

int64_t entries(const fs::path& folder) {
  return std::distance(fs::directory_iterator(folder), fs::directory_iterator());
}

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

TEST(OutputFile, AppearsWholeAtClose) {
  const TempFolder folder;
  const fs::path path = folder.path() / "a.bin";
  std::string expected;
  OutputFile file(path);
  // Pieces around the buffer's size, and one of several buffers.
  for (const size_t count : {0u, 1u, 1048575u, 1048576u, 1048577u, 3000000u, 5u}) {
    std::string piece(count, '\0');
    for (size_t i = 0; i < count; ++i) piece[i] = static_cast<char>(i * 31 + count);
    file.write(bytes_of(piece));
    expected += piece;
  }
  EXPECT_FALSE(fs::exists(path));
  file.close();
  EXPECT_EQ(read_text_file(path, kMaxBytes), expected);
  EXPECT_EQ(entries(folder.path()), 1);
}

TEST(OutputFile, LeavesTheOldFileAloneUntilClosed) {
  const TempFolder folder;
  const fs::path path = folder.write("a.txt", "old");
  {
    OutputFile file(path);
    file.write(bytes_of("half of the new"));
  }
  EXPECT_EQ(read_text_file(path, kMaxBytes), "old");
  EXPECT_EQ(entries(folder.path()), 1);
  write_text_file(path, "new");
  EXPECT_EQ(read_text_file(path, kMaxBytes), "new");
}

/// Whether the system removes unfinished files of this folder by itself.
bool has_nameless_files(const fs::path& folder) {
  const int fd = ::open(folder.c_str(), O_TMPFILE | O_WRONLY, 0600);
  if (fd >= 0) ::close(fd);
  return fd >= 0;
}

TEST(OutputFile, AProcessThatIsKilledLeavesNothing) {
  const TempFolder folder;
  if (!has_nameless_files(folder.path())) GTEST_SKIP() << "no nameless files here";
  const fs::path path = folder.write("a.txt", "old");
  const pid_t child = ::fork();
  if (child == 0) {
    OutputFile file(path);
    file.write(bytes_of(std::string(3'000'000, 'x')));
    ::raise(SIGKILL);
  }
  ::waitpid(child, nullptr, 0);
  EXPECT_EQ(read_text_file(path, kMaxBytes), "old");
  EXPECT_EQ(entries(folder.path()), 1);
}

TEST(OutputFile, WhatAnEarlierProcessLeftUnderItsTemporaryNameIsNoObstacle) {
  const TempFolder folder;
  const fs::path path = folder.write("a.txt", "old");
  folder.write("a.txt.tmp-" + std::to_string(::getpid()), "left");
  write_text_file(path, "new");
  EXPECT_EQ(read_text_file(path, kMaxBytes), "new");
  EXPECT_EQ(entries(folder.path()), 1);
}

TEST(OutputFile, AFullDiskIsARunErrorThatNamesTheFileAndLeavesNothing) {
  const TempFolder folder;
  const fs::path path = folder.write("a.txt", "old");
  for (const size_t count : {100'000u, 4'000'000u}) {  // fails at close, and while writing
    const FileLimit limit(50'000);
    const std::string text = run_error([&] { write_text_file(path, std::string(count, 'x')); });
    expect_parts(text, {path.string(), "cannot be written", "too large"});
    EXPECT_EQ(entries(folder.path()), 1);
  }
  EXPECT_EQ(read_text_file(path, kMaxBytes), "old");
}

TEST(OutputFile, APathThatCannotBeWrittenIsABadInput) {
  const TempFolder folder;
  const fs::path file = folder.write("file", "");
  const fs::path circle = folder.path() / "circle";
  fs::create_symlink(circle, circle);
  const fs::path long_name = folder.path() / std::string(300, 'n');
  for (const fs::path& path :
       {folder.path() / "gone" / "a", file / "a", folder.path(), circle, long_name}) {
    expect_parts(input_error([&] { OutputFile{path}; }), {path.string(), "cannot be written"});
  }
}

TEST(OutputFile, ReplacesTheFileBehindALink) {
  const TempFolder folder;
  const fs::path file = folder.write("sub/a.txt", "old");
  const fs::path link = folder.path() / "link";
  fs::create_symlink(file, link);
  write_text_file(link, "new");
  EXPECT_TRUE(fs::is_symlink(link));
  EXPECT_EQ(read_text_file(file, kMaxBytes), "new");
}

TEST(OutputFile, WritesIntoWhatIsNoFileDirectly) {
  write_text_file("/dev/null", "gone");
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
  const TempFolder folder;
  const fs::path pipe = folder.path() / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  std::string received(3, '\0');
  std::jthread reader([&] { std::ifstream(pipe).read(received.data(), 3); });
  write_text_file(pipe, "abc");
  reader.join();
  EXPECT_EQ(received, "abc");
  EXPECT_TRUE(fs::is_fifo(pipe));
  EXPECT_EQ(entries(folder.path()), 1);
}

TEST(OutputFile, AFullDeviceIsARunErrorAndStays) {
  if (!fs::exists("/dev/full")) GTEST_SKIP() << "no /dev/full here";
  expect_parts(run_error([] { write_text_file("/dev/full", "x"); }),
               {"/dev/full: cannot be written: No space left"});
  EXPECT_TRUE(fs::is_character_file("/dev/full"));
}

TEST(OutputFile, ReasonsThatAreNotThePathsAreRunErrors) {
  for (const int reason : {ENOSPC, EDQUOT, EIO, EMFILE}) {
    expect_parts(run_error([&] { throw_write_error("/x/y", reason); }), {"/x/y"});
  }
}

}  // namespace
}  // namespace dms
