#include "base/file_image.h"

#include <filesystem>
#include <optional>

#include <gtest/gtest.h>

#include "dms/error.h"
#include "support/temp_folder.h"

namespace dms {
namespace {

namespace fs = std::filesystem;

TEST(FileImage, MapsWhatOnlyThisUserWrites) {
  const testing_support::TempFolder folder;
  const fs::path file = folder.write("file", "what it says");
  fs::permissions(file, fs::perms::owner_read | fs::perms::owner_write);
  std::optional<FileImage> image(file);
  ASSERT_TRUE(image->mapping());
  EXPECT_EQ(image->bytes(), "what it says");
  fs::remove(file);
  const auto kept = image->mapping();
  const std::string_view bytes = image->bytes();
  image.reset();
  EXPECT_EQ(bytes, "what it says");
  // What is written to the memory is not written to a file.
  const fs::path again = folder.write("again", "what it says");
  fs::permissions(again, fs::perms::owner_read | fs::perms::owner_write);
  const FileImage written(again);
  *const_cast<char*>(written.bytes().data()) = 'W';
  EXPECT_EQ(written.bytes(), "What it says");
  EXPECT_EQ(FileImage(again).bytes(), "what it says");
}

TEST(FileImage, ReadsWhatOthersMayWriteAndWhatIsEmpty) {
  const testing_support::TempFolder folder;
  const fs::path file = folder.write("file", "what it says");
  fs::permissions(file, fs::perms::others_write, fs::perm_options::add);
  const FileImage image(file);
  EXPECT_FALSE(image.mapping());
  EXPECT_EQ(image.bytes(), "what it says");
  EXPECT_EQ(FileImage(folder.write("empty", "")).bytes(), "");
}

TEST(FileImage, RefusesWhatIsNoFile) {
  const testing_support::TempFolder folder;
  EXPECT_THROW(FileImage(folder.path()), InputError);
  EXPECT_THROW(FileImage(folder.path() / "none"), InputError);
}

}  // namespace
}  // namespace dms
