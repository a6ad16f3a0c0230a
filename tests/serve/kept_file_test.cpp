#include "serve/kept_file.h"

#include <filesystem>
#include <string>

#include <gtest/gtest.h>

#include "serve/facts.h"
#include "support/temp_folder.h"

namespace dms::serve {
namespace {

using dms::testing_support::TempFolder;
using testing_support::refusal;

TEST(KeptFile, NamesLeadNowhereElse) {
  const TempFolder folder;
  const std::string nul("a\0b", 3);
  for (const std::string& name : {std::string(),
                                  std::string("."),
                                  std::string(".."),
                                  std::string("../a"),
                                  std::string("a/b"),
                                  std::string("/etc/passwd"),
                                  std::string("a\\b"),
                                  std::string(".hidden"),
                                  std::string("-option"),
                                  std::string("a b"),
                                  std::string("a\nb"),
                                  std::string("\xc3\xa9"),
                                  std::string(129, 'a'),
                                  nul}) {
    const ApiError error = refusal([&] { kept_file(folder.path(), name, "filename"); });
    EXPECT_EQ(error.status(), 400) << name;
    EXPECT_EQ(error.param(), "filename") << name;
  }
  EXPECT_EQ(kept_file(folder.path(), "A..b-1_x.bin", "filename"), folder.path() / "A..b-1_x.bin");
  EXPECT_EQ(kept_file(folder.path(), "a", "name", ".dmsdoc"), folder.path() / "a.dmsdoc");
  EXPECT_EQ(kept_file(folder.path(), std::string(128, 'a'), "name"),
            folder.path() / std::string(128, 'a'));
}

TEST(KeptFile, LinksAndFoldersAreNone) {
  const TempFolder folder;
  std::filesystem::create_directory(folder.path() / "folder");
  std::filesystem::create_symlink("/etc/passwd", folder.path() / "link");
  std::filesystem::create_symlink("/nowhere", folder.path() / "dangling");
  folder.write("file", "x");
  for (const char* name : {"folder", "link", "dangling"}) {
    EXPECT_EQ(refusal([&] { kept_file(folder.path(), name, "filename"); }).status(), 400) << name;
  }
  EXPECT_EQ(kept_file(folder.path(), "file", "filename"), folder.path() / "file");
}

}  // namespace
}  // namespace dms::serve
