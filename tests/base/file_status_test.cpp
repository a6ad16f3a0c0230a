#include "base/file_status.h"

#include <string>

#include <gtest/gtest.h>

#include "support/errors.h"
#include "support/temp_folder.h"

namespace dms {
namespace {

namespace fs = std::filesystem;
using testing_support::expect_parts;
using testing_support::input_error;
using testing_support::TempFolder;

TEST(FileStatus, TellsFilesFoldersAndNothingApart) {
  const TempFolder folder;
  const fs::path file = folder.write("file", "x");
  const fs::path link = folder.path() / "link";
  const fs::path broken = folder.path() / "broken";
  fs::create_symlink(file, link);
  fs::create_symlink(folder.path() / "gone", broken);
  for (const fs::path& path : {file, link}) {
    EXPECT_TRUE(path_exists(path)) << path;
    EXPECT_TRUE(is_file(path)) << path;
    EXPECT_FALSE(is_folder(path)) << path;
  }
  EXPECT_TRUE(path_exists(folder.path()));
  EXPECT_TRUE(is_folder(folder.path()));
  EXPECT_FALSE(is_file(folder.path()));
  for (const fs::path& path : {folder.path() / "gone", file / "below", broken, fs::path()}) {
    EXPECT_FALSE(path_exists(path) || is_file(path) || is_folder(path)) << path;
  }
}

TEST(FileStatus, APathThatCannotBeLookedUpIsABadInput) {
  const TempFolder folder;
  const fs::path circle = folder.path() / "circle";
  fs::create_symlink(circle, circle);
  for (const fs::path& path : {circle, folder.path() / std::string(300, 'n')}) {
    for (const auto ask : {path_exists, is_file, is_folder}) {
      expect_parts(input_error([&] { ask(path); }), {path.string(), "cannot be read: "});
    }
  }
}

TEST(FileStatus, EntriesByName) {
  const TempFolder folder;
  EXPECT_TRUE(entries_of(folder.path()).empty());
  EXPECT_TRUE(entries_of(folder.path() / "gone").empty());
  const fs::path b = folder.write("b", "");
  const fs::path a = folder.write("a/inside", "").parent_path();
  EXPECT_EQ(entries_of(folder.path()), (std::vector<fs::path>{a, b}));
  expect_parts(input_error([&] { entries_of(b); }), {b.string(), "cannot be read: "});
}

}  // namespace
}  // namespace dms
