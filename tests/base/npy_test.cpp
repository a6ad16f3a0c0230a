#include "base/npy.h"

#include <cstring>
#include <string>

#include <gtest/gtest.h>

#include "base/input_file.h"
#include "support/errors.h"
#include "support/temp_folder.h"

namespace dms {
namespace {

using testing_support::expect_parts;
using testing_support::input_error;
using testing_support::TempFolder;

/// A file of this version, header text and data.
std::string npy(int version, const std::string& header, const std::string& data) {
  std::string file = "\x93NUMPY";
  file += static_cast<char>(version);
  file += '\0';
  file += static_cast<char>(header.size() & 0xff);
  file += static_cast<char>(header.size() >> 8);
  if (version > 1) file += std::string(2, '\0');
  return file + header + data;
}

std::string header(const std::string& shape,
                   const std::string& descr = "|u1",
                   const std::string& order = "False") {
  return "{'descr': '" + descr + "', 'fortran_order': " + order + ", 'shape': " + shape + ", }\n";
}

TEST(Npy, WhatIsWrittenIsReadBack) {
  const TempFolder folder;
  const auto path = folder.path() / "x.npy";
  for (const NpyBytes& array : {NpyBytes{{2, 3}, {1, 0, 255, 7, 8, 9}},
                                NpyBytes{{4}, {1, 2, 3, 4}},
                                NpyBytes{{0, 5}, {}},
                                NpyBytes{{}, {9}}}) {
    write_npy_bytes(path, array);
    const NpyBytes read = read_npy_bytes(path);
    EXPECT_EQ(read.shape, array.shape);
    EXPECT_EQ(read.values, array.values);
    EXPECT_EQ((std::filesystem::file_size(path) - array.values.size()) % 64, 0u);
  }
}

TEST(Npy, EveryVersionAndSpellingOfNumpyIsRead) {
  for (const int version : {1, 2, 3}) {
    for (const char* shape : {"(2, 2)", "(2,2,)", "( 2 , 2 )"}) {
      for (const char* descr : {"|u1", "|b1"}) {
        const NpyBytes read = parse_npy_bytes(npy(version, header(shape, descr), "abcd"), "x");
        EXPECT_EQ(read.shape, (std::vector<int64_t>{2, 2})) << shape;
        EXPECT_EQ(read.values, (std::vector<uint8_t>{'a', 'b', 'c', 'd'}));
      }
    }
  }
}

TEST(Npy, EveryTruncationIsRefused) {
  const std::string file = npy(1, header("(3, 4)"), std::string(12, '\1'));
  EXPECT_NO_THROW(parse_npy_bytes(file, "x.npy"));
  for (size_t length = 0; length < file.size(); ++length) {
    expect_parts(input_error([&] { parse_npy_bytes(file.substr(0, length), "x.npy"); }),
                 {"x.npy", "got ", "expected "});
  }
  expect_parts(input_error([&] { parse_npy_bytes(file + "x", "x.npy"); }),
               {"x.npy", "got 13 bytes", "expected 12"});
}

TEST(Npy, BadFieldsAreNamed) {
  const auto error = [](const std::string& text, int version = 1) {
    return input_error([&] { parse_npy_bytes(npy(version, text, "abcd"), "x.npy"); });
  };
  expect_parts(error(header("(4,)", "<f4")), {"x.npy: descr", "<f4", "|u1"});
  expect_parts(error(header("(4,)", "|u1", "True")), {"x.npy: fortran_order"});
  expect_parts(error(header("(5,)")), {"got 4 bytes", "expected 5"});
  expect_parts(error(header("(-4,)")), {"x.npy: header", "bad size"});
  expect_parts(error(header("(4.0,)")), {"x.npy: header"});
  expect_parts(error(header("(99999999999999999999,)")), {"x.npy: header", "bad size"});
  expect_parts(error(header("(4294967296, 4294967296)")), {"x.npy", "fits memory"});
  expect_parts(error(header("(1,1,1,1,1,1,1,1,4)")), {"x.npy: header", "too many dimensions"});
  expect_parts(error("{'other': 1}"), {"x.npy: header", "unknown field other"});
  expect_parts(error("{'descr': 'x"), {"x.npy: header", "unfinished string"});
  expect_parts(error("{'descr': '|u1'}"), {"x.npy"});
  expect_parts(error(header("(4,)"), 4), {"x.npy", "unknown version", "got 4"});
}

TEST(Npy, RowsAreWrittenOneByOne) {
  const TempFolder folder;
  const auto path = folder.path() / "logits.npy";
  NpyRowWriter writer(path, 2, 3);
  const float rows[2][3] = {{1, 2, 3}, {4, 5, 6}};
  for (const auto& row : rows) writer.write_row(row);
  writer.close();
  const std::string file = read_text_file(path, 1 << 20);
  ASSERT_EQ(file.size() % 64, sizeof(rows) % 64);
  expect_parts(file, {"'descr': '<f4'", "'shape': (2, 3)"});
  EXPECT_EQ(std::memcmp(file.data() + file.size() - sizeof(rows), rows, sizeof(rows)), 0);
}

TEST(Npy, AnUnfinishedArrayLeavesWhatWasThere) {
  const TempFolder folder;
  const auto path = folder.write("logits.npy", "old");
  {
    NpyRowWriter writer(path, 2, 3);
    writer.write_row(std::vector<float>(3).data());
  }
  EXPECT_EQ(read_text_file(path, 1 << 20), "old");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()),
                          std::filesystem::directory_iterator()),
            1);
}

TEST(Npy, AFullDiskIsARunErrorThatNamesTheFile) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "no /dev/full here";
  const auto expect_failure = [](auto&& action) {
    try {
      action();
      ADD_FAILURE() << "no error";
    } catch (const RunError& error) {
      expect_parts(error.what(), {"/dev/full", "cannot be written", "No space left"});
    }
  };
  expect_failure([] { write_npy_bytes("/dev/full", {{1 << 20}, std::vector<uint8_t>(1 << 20)}); });
  expect_failure([] { write_npy_bytes("/dev/full", {{1}, {1}}); });
  expect_failure([] {
    NpyRowWriter writer("/dev/full", 1, 3);
    writer.write_row(std::vector<float>(3).data());
    writer.close();
  });
}

TEST(Npy, AFileThatCannotBeCreatedIsAnInputError) {
  expect_parts(input_error([] { NpyRowWriter("/nonexistent/x.npy", 1, 1); }),
               {"/nonexistent/x.npy", "cannot be written"});
}

}  // namespace
}  // namespace dms
