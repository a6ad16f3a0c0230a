#include "cli/trainer_program.h"

#include <filesystem>
#include <optional>

#include <gtest/gtest.h>

#include "support/temp_folder.h"

namespace dms::cli {
namespace {

namespace fs = std::filesystem;
using testing_support::TempFolder;

fs::path program(const TempFolder& folder, const fs::path& name) {
  const fs::path path = folder.write(name, "#!/bin/sh\n");
  fs::permissions(path, fs::perms::owner_all);
  return path;
}

TEST(FindTrainer, NearerPlacesComeFirst) {
  const TempFolder folder;
  const fs::path bin = folder.path() / "bin";
  const std::string path = (folder.path() / "path").string();
  EXPECT_EQ(find_trainer(bin, path), std::nullopt);
  // From the last place to the first: each new one wins.
  for (const char* place : {"path", "libexec", "train", "bin"}) {
    const fs::path expected = program(folder, fs::path(place) / "dms-train");
    EXPECT_EQ(find_trainer(bin, path), expected) << place;
  }
}

TEST(FindTrainer, WalksThroughPath) {
  const TempFolder folder;
  const fs::path expected = program(folder, "b/dms-train");
  const std::string a = (folder.path() / "a").string();
  const std::string b = (folder.path() / "b").string();
  EXPECT_EQ(find_trainer("", a + ":" + b), expected);
  EXPECT_EQ(find_trainer("", "::" + b + ":"), expected);
  EXPECT_EQ(find_trainer("", a + ":"), std::nullopt);
  EXPECT_EQ(find_trainer("", ""), std::nullopt);
}

TEST(FindTrainer, WhatCannotBeRunIsPassedOver) {
  const TempFolder folder;
  folder.write("a/dms-train", "not executable");
  fs::create_directories(folder.path() / "b" / "dms-train");
  const fs::path expected = program(folder, "c/dms-train");
  std::string path;
  for (const char* name : {"a", "b", "c"}) path += (folder.path() / name).string() + ":";
  EXPECT_EQ(find_trainer("", path), expected);
}

TEST(WithOverrides, EachOneIsASetOfItsOwn) {
  EXPECT_EQ(with_overrides({"train", "c.yaml"}, {"a.b=1", "c=[x, y]"}),
            (std::vector<std::string>{"train", "c.yaml", "--set", "a.b=1", "--set", "c=[x, y]"}));
}

}  // namespace
}  // namespace dms::cli
