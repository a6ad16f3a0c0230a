#include "cli/input.h"

#include <filesystem>
#include <fstream>
#include <thread>

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "dms/error.h"
#include "support/temp_folder.h"

namespace dms::cli {
namespace {

class InputTest : public testing::Test {
 protected:
  std::string file(const std::string& text) {
    const auto path = folder_.path() / "text";
    std::ofstream(path) << text;
    return path.string();
  }

  /// A pipe that `text` will come through once, from another thread.
  std::string pipe(const std::string& text) {
    const auto path = folder_.path() / "pipe";
    EXPECT_EQ(::mkfifo(path.c_str(), 0600), 0);
    writer_ = std::jthread([path, text] { std::ofstream(path) << text; });
    return path.string();
  }

  std::string prompt_of(const std::string& path, bool drops_newline) {
    PromptSource source;
    source.text_file = path;
    source.drops_newline = drops_newline;
    return *read_prompt(source, "").text;
  }

  testing_support::TempFolder folder_;
  std::jthread writer_;
};

TEST_F(InputTest, APipeIsReadToItsEnd) {
  const std::string text(200'000, 'x');
  EXPECT_EQ(read_text(pipe(text)), text);
}

TEST_F(InputTest, ACopyOfAPipeCanBeReadTwice) {
  const std::filesystem::path copy = seekable_file(pipe("abc"));
  EXPECT_EQ(read_text(copy), "abc");
  EXPECT_EQ(read_text(copy), "abc");
  EXPECT_TRUE(std::filesystem::is_regular_file(copy));
}

TEST_F(InputTest, WhatCanBeReadTwiceIsNotCopied) {
  const std::string path = file("abc");
  EXPECT_EQ(seekable_file(path), path);
  EXPECT_EQ(seekable_file(folder_.path()), folder_.path());
  EXPECT_EQ(seekable_file(""), "");
  EXPECT_EQ(seekable_file("/nowhere"), "/nowhere");
}

TEST_F(InputTest, OneNewlineEndsAFileAndNotThePrompt) {
  EXPECT_EQ(prompt_of(file("a\n"), true), "a");
  EXPECT_EQ(prompt_of(file("a\r\n"), true), "a");
  EXPECT_EQ(prompt_of(file("a\n\n"), true), "a\n");
  EXPECT_EQ(prompt_of(file("a\r"), true), "a\r");
  EXPECT_EQ(prompt_of(file("\n"), true), "");
  EXPECT_EQ(prompt_of(file(""), true), "");
  EXPECT_EQ(prompt_of(file("a\n"), false), "a\n");
}

TEST_F(InputTest, StandardInputHasAName) {
  EXPECT_EQ(input_name("-"), "standard input");
  EXPECT_EQ(input_name("a.txt"), "a.txt");
  for (const char* path : {"-", "/dev/stdin", "/dev/fd/0"}) EXPECT_TRUE(is_standard_input(path));
  for (const char* path : {"", "--", "./-", "/dev/fd/3"}) EXPECT_FALSE(is_standard_input(path));
}

TEST_F(InputTest, AFolderIsNoText) { EXPECT_THROW(read_text(folder_.path()), InputError); }

}  // namespace
}  // namespace dms::cli
