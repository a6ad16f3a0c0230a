#include "base/output_file.h"

#include <cerrno>
#include <string>

#include <gtest/gtest.h>

#include "base/mapped_file.h"
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
  for (const fs::path& path : {folder.path() / "gone" / "a", file / "a"}) {
    expect_parts(input_error([&] { OutputFile{path}; }), {path.string(), "cannot be written"});
  }
}

TEST(OutputFile, ReasonsThatAreNotThePathsAreRunErrors) {
  for (const int reason : {ENOSPC, EDQUOT, EIO, EMFILE}) {
    expect_parts(run_error([&] { throw_write_error("/x/y", reason); }), {"/x/y"});
  }
}

}  // namespace
}  // namespace dms
