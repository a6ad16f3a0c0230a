// Where a student may be written, and that a write that fails changes nothing.

#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/input_file.h"
#include "dms/error.h"
#include "support/errors.h"
#include "support/file_limit.h"
#include "train/export/base_folder.h"
#include "train/export/student_folder.h"

namespace dms::train {
namespace {

namespace fs = std::filesystem;
using testing_support::BaseFolder;
using testing_support::expect_parts;
using testing_support::FileLimit;
using testing_support::input_error;
using testing_support::NoiseWeights;
using testing_support::run_error;
using testing_support::tiny_config;

const StudentOptions kOptions{.dms = DmsSpec{.window = 300}};

std::set<std::string> names_in(const fs::path& folder) {
  std::set<std::string> names;
  for (const auto& item : fs::directory_iterator(folder)) {
    names.insert(item.path().filename().string());
  }
  return names;
}

class StudentOutput : public ::testing::Test {
 protected:
  void write(const fs::path& out, const StudentOptions& options = kOptions) const {
    write_student_folder(base.path(), out, options, NoiseWeights(2));
  }
  std::string refused(const fs::path& out) const {
    const std::string early = input_error([&] { check_student_output(base.path(), out); });
    const std::string late = input_error([&] { write(out); });
    EXPECT_EQ(early, late);
    return late;
  }
  int64_t window_at(const fs::path& folder) const {
    return load_spec(folder, MetadataScope::with_parent).dms->window;
  }

  const BaseFolder base{tiny_config()};
};

TEST_F(StudentOutput, AStudentAndAnEmptyFolderAreReplaced) {
  const fs::path out = base.beside("student");
  fs::create_directory(out);
  write(out);
  EXPECT_EQ(window_at(out), 300);
  StudentOptions other{.dms = DmsSpec{.window = 7}};
  other.max_shard_bytes = 700;
  write(out, other);
  EXPECT_EQ(window_at(out), 7);
  EXPECT_FALSE(fs::exists(out / "model.safetensors"));
  write(out / "");  // with a slash at its end
  EXPECT_EQ(window_at(out), 300);
  EXPECT_FALSE(fs::exists(out / "model.safetensors.index.json"));
  EXPECT_EQ(names_in(base.folder().path()), (std::set<std::string>{"base", "student"}));
}

TEST_F(StudentOutput, ALinkToAStudentIsFollowed) {
  write(base.beside("student"));
  fs::create_symlink("student", base.beside("link"));
  write(base.beside("link"), {.dms = DmsSpec{.window = 7}});
  EXPECT_EQ(window_at(base.beside("student")), 7);
  EXPECT_TRUE(fs::is_symlink(base.beside("link")));
}

TEST_F(StudentOutput, TheBaseIsNeverReplaced) {
  expect_parts(refused(base.path()), {"base", "folder of the base model"});
  fs::create_symlink("base", base.beside("link"));
  expect_parts(refused(base.beside("link")), {"link", "folder of the base model"});
}

TEST_F(StudentOutput, ForeignFoldersAndFilesAreRefused) {
  base.folder().write("thesis/chapter.txt", "years of work");
  expect_parts(refused(base.beside("thesis")), {"thesis", "is not a student's folder", "empty"});
  base.folder().write("file", "");
  expect_parts(refused(base.beside("file")), {"file", "not a folder"});
  write(base.beside("student"));
  base.folder().write("student/README.md", "a model card");
  expect_parts(refused(base.beside("student")), {"holds README.md", "lost"});
  const BaseFolder plain(tiny_config());
  expect_parts(refused(plain.path()), {"without trained eviction"});
  EXPECT_TRUE(fs::exists(base.beside("thesis") / "chapter.txt"));
}

TEST_F(StudentOutput, ATrainingLogBesideItWouldOverrideIt) {
  base.folder().write("training_log.json", R"({"window_size": 5})");
  expect_parts(refused(base.beside("student")), {"training_log.json", "override"});
}

TEST_F(StudentOutput, AFullDiskKeepsTheOldStudentAndLeavesNoOther) {
  const fs::path out = base.beside("student");
  write(out);
  {
    const FileLimit limit(3000);  // above the config, below the weights
    expect_parts(run_error([&] { write(out, {.dms = DmsSpec{.window = 7}}); }),
                 {"model.safetensors", "cannot be written"});
  }
  EXPECT_EQ(window_at(out), 300);
  EXPECT_EQ(names_in(base.folder().path()), (std::set<std::string>{"base", "student"}));
}

/// Fails at the third weight.
class BrokenSource final : public WeightSource {
 public:
  void read_rows(const WeightName& weight, int64_t, int64_t, std::span<float> out) const override {
    if (++reads_ == 3) throw InputError({.where = weight.name, .what = "unreadable"});
    std::ranges::fill(out, 0.0f);
  }

 private:
  mutable int reads_ = 0;
};

TEST_F(StudentOutput, ASourceThatFailsLeavesNothing) {
  const fs::path out = base.beside("student");
  const BrokenSource source;
  expect_parts(input_error([&] { write_student_folder(base.path(), out, kOptions, source); }),
               {"unreadable"});
  EXPECT_EQ(names_in(base.folder().path()), std::set<std::string>{"base"});
}

TEST_F(StudentOutput, LeftoversOfKilledExportsGo) {
  base.folder().write("student.tmp-123/model.safetensors", "half");
  base.folder().write("other.tmp-123/model.safetensors", "of another");
  write(base.beside("student"));
  EXPECT_EQ(names_in(base.folder().path()),
            (std::set<std::string>{"base", "student", "other.tmp-123"}));
}

TEST_F(StudentOutput, ABadBaseIsNamed) {
  base.folder().write("base/config.json", "{}");
  expect_parts(input_error([&] { write(base.beside("student")); }), {"config.json", "model_type"});
  expect_parts(input_error([&] {
                 write_student_folder(base.beside("gone"), base.beside("s"), {}, NoiseWeights(2));
               }),
               {"gone", "no such model folder"});
}

}  // namespace
}  // namespace dms::train
