#include "train/data/sources.h"

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "support/errors.h"
#include "train/data/fixture.h"

namespace dms::train::data {
namespace {

using testing_support::expect_parts;
using testing_support::input_error;
using train::fixture::TempFolder;
namespace fs = std::filesystem;

std::vector<std::string> names_of(const TempFolder& folder, const std::vector<fs::path>& paths) {
  DatasetSection dataset;
  dataset.name = "mine";
  for (const fs::path& path : paths) dataset.paths.push_back(folder.path() / path);
  std::vector<std::string> names;
  for (const SourceFile& file : find_sources(dataset)) {
    names.push_back(fs::relative(file.canonical, fs::canonical(folder.path())).string());
  }
  return names;
}

class Sources : public ::testing::Test {
 protected:
  Sources() {
    for (const char* name : {"b.jsonl",
                             "a.txt",
                             "deep/c.txt",
                             "deep/er/d.jsonl",
                             "notes.md",
                             ".hidden.txt",
                             ".git/e.txt",
                             "f.parquet"}) {
      folder_.write(name, "x");
    }
  }
  TempFolder folder_;
};

TEST_F(Sources, OfAFolderAreSortedAndOfKnownKinds) {
  EXPECT_EQ(names_of(folder_, {""}),
            (std::vector<std::string>{"a.txt", "b.jsonl", "deep/c.txt", "deep/er/d.jsonl"}));
}

TEST_F(Sources, ComeInTheOrderOfThePathsAndOnce) {
  EXPECT_EQ(names_of(folder_, {"deep", "a.txt", "deep/c.txt", "./deep/../a.txt"}),
            (std::vector<std::string>{"deep/c.txt", "deep/er/d.jsonl", "a.txt"}));
}

TEST_F(Sources, GlobsAreExpanded) {
  EXPECT_EQ(names_of(folder_, {"[ab].*"}), (std::vector<std::string>{"a.txt", "b.jsonl"}));
  EXPECT_EQ(names_of(folder_, {"de*"}),
            (std::vector<std::string>{"deep/c.txt", "deep/er/d.jsonl"}));
}

TEST_F(Sources, NamesWithGlobCharactersAreTakenAsTheyAre) {
  folder_.write("odd[1].txt", "x");
  EXPECT_EQ(names_of(folder_, {"odd[1].txt"}), (std::vector<std::string>{"odd[1].txt"}));
}

TEST_F(Sources, WhatIsNotThereOrUnknownIsRefused) {
  expect_parts(input_error([&] { names_of(folder_, {"none.jsonl"}); }),
               {"data.datasets.mine.path", "no such file", "none.jsonl"});
  expect_parts(input_error([&] { names_of(folder_, {"no*.jsonl"}); }), {"no such file"});
  expect_parts(input_error([&] { names_of(folder_, {"notes.md"}); }),
               {"notes.md", "unknown kind", ".jsonl"});
  expect_parts(input_error([&] { names_of(folder_, {"f.parquet"}); }),
               {"f.parquet", "scripts/parquet_to_jsonl"});
  fs::create_directory(folder_.path() / "void");
  expect_parts(input_error([&] { names_of(folder_, {"void"}); }), {"no .jsonl or .txt files"});
}

std::vector<Record> read_all(const std::vector<SourceFile>& files, int64_t batch_bytes) {
  RecordReader reader(files);
  std::vector<Record> all;
  while (true) {
    std::vector<Record> batch = reader.next_batch(batch_bytes);
    if (batch.empty()) return all;
    all.insert(all.end(), batch.begin(), batch.end());
  }
}

std::vector<SourceFile> sources_of(const std::vector<fs::path>& paths) {
  DatasetSection dataset;
  dataset.paths = paths;
  return find_sources(dataset);
}

TEST(RecordReader, LinesAreRecordsAndCountedBlankOnesToo) {
  const TempFolder folder;
  const auto file =
      folder.write("a.jsonl", "\xEF\xBB\xBF{\"a\":1}\r\n\n  \t\n{\"b\":2}\n{\"c\":3}");
  for (const int64_t batch_bytes : {1, 1000}) {
    const std::vector<Record> records = read_all(sources_of({file}), batch_bytes);
    ASSERT_EQ(records.size(), 3u);
    EXPECT_EQ(records[0].text, "{\"a\":1}\r");
    EXPECT_EQ(records[1].text, "{\"b\":2}");
    EXPECT_EQ(records[2].text, "{\"c\":3}");
    EXPECT_TRUE(records[0].where.ends_with("a.jsonl:1"));
    EXPECT_TRUE(records[1].where.ends_with("a.jsonl:4"));
    EXPECT_TRUE(records[2].where.ends_with("a.jsonl:5"));
    EXPECT_TRUE(records[0].is_json);
  }
}

TEST_F(Sources, AreNamedAsTheSettingsNameThem) {
  const auto named = folder_.path() / "deep" / ".." / "deep";
  DatasetSection dataset;
  dataset.paths = {named};
  EXPECT_EQ(find_sources(dataset).at(0).path, named / "c.txt");
}

TEST(RecordReader, LinesOfAnyLengthAreReadAcrossThePiecesOfAFile) {
  const TempFolder folder;
  std::vector<std::string> lines;
  std::string text;
  for (const size_t length : {1u, 1048575u, 1048576u, 3u, 3000000u, 1048574u, 2u}) {
    lines.emplace_back(length, static_cast<char>('a' + lines.size()));
    text.append(lines.back()).append("\n");
  }
  const auto files = sources_of({folder.write("a.jsonl", text)});
  for (const int64_t batch_bytes : {int64_t{1}, int64_t{2'000'000}, int64_t{1} << 30}) {
    const std::vector<Record> records = read_all(files, batch_bytes);
    ASSERT_EQ(records.size(), lines.size());
    for (size_t i = 0; i < lines.size(); ++i) EXPECT_TRUE(records[i].text == lines[i]) << i;
  }
}

TEST(RecordReader, TextFilesAreOneRecordEach) {
  const TempFolder folder;
  const auto first = folder.write("a.txt", "\xEF\xBB\xBFline\n\nline\n");
  const auto none = folder.write("b.txt", "");
  const auto second = folder.write("c.txt", "\n");
  const std::vector<Record> records = read_all(sources_of({first, none, second}), 1);
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[0].text, "line\n\nline\n");
  EXPECT_EQ(records[1].text, "\n");
  EXPECT_TRUE(records[0].where.ends_with("a.txt"));
  EXPECT_FALSE(records[0].is_json);
}

TEST(RecordReader, BatchesKeepToTheirSize) {
  const TempFolder folder;
  std::string lines;
  for (int i = 0; i < 100; ++i) lines += "\"0123456\"\n";
  const std::vector<SourceFile> files = sources_of({folder.write("a.jsonl", lines)});
  RecordReader reader(files);
  EXPECT_EQ(reader.next_batch(90).size(), 10u);
  EXPECT_EQ(reader.next_batch(91).size(), 11u);
  EXPECT_EQ(reader.next_batch(1'000'000).size(), 79u);
  EXPECT_TRUE(reader.next_batch(1).empty());
}

TEST(RecordReader, LinesWithoutEndAreRefused) {
  const TempFolder folder;
  const auto file = folder.write("a.jsonl", "{}\n{");
  fs::resize_file(file, static_cast<uintmax_t>(RecordReader::kMaxRecordBytes) + 10);  // sparse
  const std::vector<SourceFile> files = sources_of({file});
  RecordReader reader(files);
  expect_parts(input_error([&] { reader.next_batch(1000); }), {"a.jsonl:2", "too long"});
}

TEST(RecordReader, FileThatWentAwayIsNamed) {
  const TempFolder folder;
  const auto file = folder.write("a.jsonl", "{}");
  const std::vector<SourceFile> files = sources_of({file});
  fs::remove(file);
  RecordReader reader(files);
  expect_parts(input_error([&] { reader.next_batch(1000); }), {"a.jsonl", "cannot be read"});
}

}  // namespace
}  // namespace dms::train::data
