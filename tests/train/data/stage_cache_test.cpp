#include "train/data/stage_cache.h"

#include <atomic>
#include <filesystem>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include "support/errors.h"
#include "train/data/fixture.h"

namespace dms::train::data {
namespace {

using testing_support::expect_parts;
using train::fixture::TempFolder;
namespace fs = std::filesystem;

/// Stages of one file, whose text is returned; counts how often they are built.
class Cached : public ::testing::Test {
 protected:
  std::string get(const Json& settings, const std::string& text = "text") {
    StageCache cache(root(), {});
    const auto build = [&](const fs::path& folder) {
      ++builds_;
      std::ofstream(folder / "file") << text;
      return Json{{"bytes", text.size()}};
    };
    const auto open = [](const Stage& stage) {
      const std::string read = read_text_file(stage.folder / "file", 1000);
      if (stage.description.at("bytes") != read.size()) {
        throw InputError({.where = "file", .what = "damaged"});
      }
      return read;
    };
    std::string result = cache.get("my set", settings, build, open);
    notes_ = cache.notes();
    return result;
  }
  fs::path root() const { return folder_.path() / "a" / "b"; }
  fs::path only_stage() const {
    fs::path found;
    for (const auto& entry : fs::directory_iterator(root())) {
      if (entry.path().filename() == ".lock") continue;
      EXPECT_TRUE(found.empty()) << "more than one stage";
      found = entry.path();
    }
    return found;
  }

  TempFolder folder_;
  int builds_ = 0;
  std::vector<std::string> notes_;
};

TEST_F(Cached, StagesAreBuiltOnceForTheirSettings) {
  EXPECT_EQ(get({{"a", 1}}, "one"), "one");
  EXPECT_EQ(get({{"a", 1}}, "not built"), "one");
  EXPECT_EQ(get({{"a", 2}}, "two"), "two");
  EXPECT_EQ(get({{"a", 1}}, "not built"), "one");
  EXPECT_EQ(builds_, 2);
  EXPECT_TRUE(notes_.empty());
}

TEST_F(Cached, FolderIsNamedByDatasetAndKey) {
  get({{"a", 1}});
  const std::string name = only_stage().filename().string();
  EXPECT_TRUE(name.starts_with("my_set-"));
  EXPECT_EQ(name.size(), std::string("my_set-").size() + 16);
}

TEST_F(Cached, DamagedStagesAreBuiltAgainWithANote) {
  get({{"a", 1}});
  for (const char* file : {"file", "stage.json"}) {
    for (const char* contents : {"", "{", "{}", "[1]", R"({"key": "other"})"}) {
      builds_ = 0;
      folder_.write("a/b/" + only_stage().filename().string() + "/" + file, contents);
      EXPECT_EQ(get({{"a", 1}}), "text") << file << " " << contents;
      EXPECT_EQ(builds_, 1);
      ASSERT_EQ(notes_.size(), 1u);
      expect_parts(notes_[0], {"damaged cache was made again"});
    }
  }
}

TEST_F(Cached, FailedBuildsLeaveNothing) {
  {
    StageCache cache(root(), {});
    const auto fail = [](const fs::path& folder) -> Json {
      std::ofstream(folder / "file") << "half";
      throw InputError({.where = "x", .what = "broken"});
    };
    const auto open = [](const Stage&) { return 0; };
    EXPECT_THROW(cache.get("my set", {{"a", 1}}, fail, open), InputError);
  }
  EXPECT_TRUE(only_stage().empty());
  EXPECT_EQ(get({{"a", 1}}), "text");
}

TEST_F(Cached, WhatAKilledProcessLeftIsRemoved) {
  folder_.write("a/b/my_set-0123456789abcdef.tmp-77/file", "half");
  const fs::path another = folder_.write("a/b/novel.tmp-2", "of somebody else");
  get({{"a", 1}});
  EXPECT_EQ(builds_, 1);
  EXPECT_TRUE(fs::exists(another));
  fs::remove(another);
  EXPECT_TRUE(only_stage().filename().string().starts_with("my_set-"));
}

TEST_F(Cached, OthersWaitWhileOnePrepares) {
  std::atomic<bool> waits = false;
  std::atomic<bool> released = false;
  auto first = std::make_unique<StageCache>(root(), DataProgress{});
  std::jthread second([&] {
    const StageCache cache(root(), [&](const std::string& stage, int64_t, int64_t) {
      expect_parts(stage, {"waiting for another process"});
      waits = true;
      waits.notify_one();
    });
    EXPECT_TRUE(released);
  });
  waits.wait(false);
  released = true;
  first.reset();
}

TEST_F(Cached, RootThatCannotBeWrittenIsNamed) {
  folder_.write("taken", "a file");
  try {
    StageCache(folder_.path() / "taken", {});
    FAIL() << "nothing thrown";
  } catch (const RunError& error) {
    expect_parts(error.what(), {"taken", "cannot be written", "data.cache_dir"});
  }
}

}  // namespace
}  // namespace dms::train::data
