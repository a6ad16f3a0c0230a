// What tells one model's files from another's.

#include "cli/file_state.h"

#include <chrono>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

#include "support/temp_folder.h"

namespace dms::cli {
namespace {

namespace fs = std::filesystem;

void write(const fs::path& file, const std::string& text) {
  fs::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary) << text;
}

TEST(FileState, IsOfContentAloneWhereverItLies) {
  const testing_support::TempFolder folder;
  const fs::path a = folder.path() / "a";
  const fs::path b = folder.path() / "b";
  for (const fs::path& model : {a, b}) {
    write(model / "config.json", "{}");
    write(model / "model.safetensors", std::string(3'000'000, 'w'));
  }
  fs::last_write_time(b / "config.json", fs::file_time_type::clock::now() - std::chrono::hours(9));
  const std::string content = content_of(a);
  EXPECT_FALSE(content.empty());
  EXPECT_EQ(content_of(b), content);
  write(b / "README.md", "no part of the model");
  EXPECT_EQ(content_of(b), content);
}

TEST(FileState, DiffersWithEveryByteAndName) {
  const testing_support::TempFolder folder;
  const fs::path model = folder.path() / "model";
  const fs::path weights = model / "model.safetensors";
  write(model / "config.json", "{}");
  write(weights, std::string(3'000'000, 'w'));
  const std::string content = content_of(model);
  std::fstream(weights, std::ios::in | std::ios::out | std::ios::binary).seekp(2'345'678).put('x');
  const std::string other_byte = content_of(model);
  EXPECT_NE(other_byte, content);
  fs::rename(weights, model / "other.safetensors");
  EXPECT_NE(content_of(model), other_byte);
  fs::remove(model / "other.safetensors");
  write(weights, std::string(3'000'000, 'w'));
  EXPECT_EQ(content_of(model), content);
  write(model / "tokenizer.json", "{}");
  EXPECT_NE(content_of(model), content);
}

/// Of one too large to be read, training changes more than the pieces miss.
TEST(FileState, OfALargeFileItsPiecesAreCompared) {
  const testing_support::TempFolder folder;
  const fs::path file = folder.path() / "large.gguf";
  constexpr uintmax_t kBytes = (uintmax_t{1} << 30) + 4096;  // all holes
  write(file, "header");
  fs::resize_file(file, kBytes);
  const std::string content = content_of(file);
  fs::resize_file(file, kBytes + 1);
  EXPECT_NE(content_of(file), content);
  fs::resize_file(file, kBytes);
  EXPECT_EQ(content_of(file), content);
  std::fstream open(file, std::ios::in | std::ios::out | std::ios::binary);
  open.seekp(kBytes / 3).write(std::string(1 << 20, 'x').data(), 1 << 20).flush();
  const std::string trained = content_of(file);
  EXPECT_NE(trained, content);
  open.seekp(100).put('h').flush();
  EXPECT_NE(content_of(file), trained);
}

TEST(FileState, IsEmptyWithoutFiles) {
  const testing_support::TempFolder folder;
  EXPECT_EQ(content_of(folder.path()), "");
  EXPECT_EQ(content_of(folder.path() / "nowhere"), "");
  EXPECT_EQ(content_of(""), "");
}

}  // namespace
}  // namespace dms::cli
