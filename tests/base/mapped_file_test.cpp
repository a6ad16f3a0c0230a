#include "base/mapped_file.h"

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
using testing_support::TempFolder;

TEST(MappedFile, WhatIsNoReadableFileIsRefused) {
  const TempFolder folder;
  const auto pipe = folder.path() / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  expect_parts(input_error([&] { MappedFile file(folder.path() / "absent"); }),
               {"absent", "No such file"});
  expect_parts(input_error([&] { MappedFile file(folder.path()); }), {"not a regular file"});
  expect_parts(input_error([&] { MappedFile file(pipe); }), {"pipe", "not a regular file"});
  expect_parts(input_error([&] { MappedFile file("/dev/zero"); }), {"not a regular file"});
}

TEST(MappedFile, AnEmptyFileHasNoBytes) {
  const TempFolder folder;
  EXPECT_TRUE(MappedFile(folder.write("empty", "")).bytes().empty());
}

TEST(MappedFile, ReleasedBytesReadTheSameAgain) {
  const TempFolder folder;
  std::string text;
  for (int i = 0; i < 50'000; ++i) text += static_cast<char>('a' + i % 26);
  const auto path = folder.write("file", text);
  MappedFile first(path);
  const MappedFile file(std::move(first));
  const auto as_text = [&] {
    return std::string(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  };
  file.release(1, 49'000);
  file.release(0, 50'000);
  file.release(0, 0);
  EXPECT_EQ(as_text(), text);
  EXPECT_EQ(read_text_file(path, 50'000), text);
}

}  // namespace
}  // namespace dms
