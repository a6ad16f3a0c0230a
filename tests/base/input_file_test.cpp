#include "base/input_file.h"

#include <filesystem>
#include <span>
#include <string>
#include <utility>

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "support/errors.h"
#include "support/temp_folder.h"

namespace dms {
namespace {

using testing_support::expect_parts;
using testing_support::input_error;
using testing_support::run_error;
using testing_support::TempFolder;

TEST(InputFile, WhatIsNoReadableFileIsRefused) {
  const TempFolder folder;
  const auto pipe = folder.path() / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  expect_parts(input_error([&] { InputFile file(folder.path() / "absent"); }),
               {"absent", "No such file"});
  expect_parts(input_error([&] { InputFile file(folder.path()); }), {"not a regular file"});
  expect_parts(input_error([&] { InputFile file(pipe); }), {"pipe", "not a regular file"});
  expect_parts(input_error([&] { InputFile file("/dev/zero"); }), {"not a regular file"});
}

TEST(InputFile, AnEmptyFileHasNoBytes) {
  const TempFolder folder;
  const InputFile file(folder.write("empty", ""));
  EXPECT_EQ(file.bytes(), 0);
  EXPECT_EQ(file.read_text(0, 0), "");
}

TEST(InputFile, AnyPartIsReadAsItIs) {
  const TempFolder folder;
  std::string text;
  for (int i = 0; i < 50'000; ++i) text += static_cast<char>('a' + i % 26);
  const auto path = folder.write("file", text);
  InputFile first(path);
  const InputFile file(std::move(first));
  EXPECT_EQ(file.bytes(), 50'000);
  EXPECT_EQ(file.read_text(0, 50'000), text);
  EXPECT_EQ(file.read_text(49'999, 1), text.substr(49'999));
  EXPECT_EQ(file.read_text(123, 4567), text.substr(123, 4567));
  EXPECT_EQ(read_text_file(path, 50'000), text);
  expect_parts(input_error([&] { read_text_file(path, 49'999); }), {"too large", "at most 49999"});
}

// Under a mapping this would be SIGBUS.
TEST(InputFile, AFileCutShortAfterItWasOpenedIsAnErrorThatSaysSo) {
  const TempFolder folder;
  const auto path = folder.write("weights", std::string(100'000, 'w'));
  const InputFile file(path);
  std::filesystem::resize_file(path, 4096);
  EXPECT_EQ(file.read_text(0, 4096), std::string(4096, 'w'));
  expect_parts(run_error([&] { file.read_text(0, 100'000); }),
               {path.string(), "was cut short while it was read", "byte 4096", "100000 bytes"});
}

}  // namespace
}  // namespace dms
