#include "train/data/token_store.h"

#include <filesystem>
#include <fstream>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "support/errors.h"
#include "support/seed.h"
#include "train/data/fixture.h"

namespace dms::train::data {
namespace {

using testing_support::expect_parts;
using testing_support::input_error;
using train::fixture::TempFolder;
namespace fs = std::filesystem;

std::vector<Document> random_documents(int64_t vocab, std::mt19937_64& random) {
  std::vector<Document> documents(40);
  for (size_t i = 0; i < documents.size(); ++i) {
    Document& document = documents[i];
    const auto length = std::uniform_int_distribution<size_t>(1, 30)(random);
    for (size_t t = 0; t < length; ++t) {
      document.ids.push_back(
          static_cast<int32_t>(std::uniform_int_distribution<int64_t>(0, vocab - 1)(random)));
      if (i % 3 != 0) document.loss.push_back(static_cast<uint8_t>(random() % 2));
    }
  }
  documents[0].ids[0] = 0;
  documents[1].ids[0] = static_cast<int32_t>(vocab - 1);
  return documents;
}

Json write_all(const fs::path& folder, int64_t vocab, const std::vector<Document>& documents) {
  TokenWriter writer(folder, vocab);
  for (const Document& document : documents) writer.append(document);
  return writer.finish();
}

class StoredTokens : public ::testing::TestWithParam<int64_t> {};

TEST_P(StoredTokens, ComeBackAsTheyWere) {
  const int64_t vocab = GetParam();
  const TempFolder folder;
  std::mt19937_64 random(testing_support::seed());
  const std::vector<Document> documents = random_documents(vocab, random);
  const Json description = write_all(folder.path(), vocab, documents);
  const TokenStore store(folder.path(), description);
  ASSERT_EQ(store.documents(), std::ssize(documents));
  int64_t targets = 0;
  for (size_t i = 0; i < documents.size(); ++i) {
    const Document& document = documents[i];
    const int64_t begin = store.offset(static_cast<int64_t>(i));
    const int64_t length = store.offset(static_cast<int64_t>(i) + 1) - begin;
    ASSERT_EQ(length, std::ssize(document.ids));
    for (int64_t first = 0; first < length; ++first) {
      Sample sample;
      store.read(begin + first, length - first, sample);
      const auto from = static_cast<std::ptrdiff_t>(first);
      EXPECT_EQ(sample.ids, std::vector(document.ids.begin() + from, document.ids.end()));
      const std::vector<uint8_t> all(document.ids.size(), 1);
      const std::vector<uint8_t>& loss = document.loss.empty() ? all : document.loss;
      EXPECT_EQ(sample.loss, std::vector(loss.begin() + from, loss.end()));
      if (first == 0) targets += std::count(sample.loss.begin(), sample.loss.end(), 1);
    }
  }
  EXPECT_EQ(description["loss_tokens"], targets);
  const auto bytes = static_cast<int64_t>(fs::file_size(folder.path() / "tokens.bin"));
  EXPECT_EQ(bytes, store.tokens() * (vocab <= 65536 ? 2 : 4));
}

INSTANTIATE_TEST_SUITE_P(Vocabularies,
                         StoredTokens,
                         ::testing::Values(1, 2, 65535, 65536, 65537, 1'000'000),
                         [](const auto& item) { return "Of" + std::to_string(item.param); });

TEST_P(StoredTokens, KnowTheirDocuments) {
  const TempFolder folder;
  std::mt19937_64 random(testing_support::seed());
  const Json description =
      write_all(folder.path(), GetParam(), random_documents(GetParam(), random));
  const TokenStore store(folder.path(), description);
  int64_t document = 0;
  for (int64_t place = 0; place < store.tokens(); ++place) {
    if (place == store.offset(document + 1)) ++document;
    ASSERT_EQ(store.document_of(place), document) << place;
  }
  EXPECT_EQ(document, store.documents() - 1);
}

TEST(TokenWriter, IdsBeyondTheVocabularyAreRefused) {
  const TempFolder folder;
  TokenWriter writer(folder.path(), 100);
  writer.append({.ids = {0, 99}, .loss = {}});
  for (const int32_t id : {100, -1}) {
    expect_parts(input_error([&] {
                   writer.append({.ids = {5, id}, .loss = {}});
                 }),
                 {"ids that the model does not have", "100"});
  }
}

TEST(ArrayWriter, FullDisksAreNamed) {
  const std::vector<int64_t> values(100'000);
  try {
    ArrayWriter writer("/dev/full");
    writer.write<int64_t>(values);
    writer.close();
    FAIL() << "nothing thrown";
  } catch (const RunError& error) {
    expect_parts(error.what(), {"/dev/full", "No space left", "data.cache_dir"});
  }
}

class DamagedStore : public ::testing::Test {
 protected:
  DamagedStore() {
    std::mt19937_64 random(testing_support::seed());
    description_ = write_all(folder_.path(), 100, random_documents(100, random));
  }
  std::string error() const {
    return input_error([&] { TokenStore(folder_.path(), description_); });
  }
  template <class T>
  void overwrite(const char* name, int64_t index, T value) const {
    std::fstream file(folder_.path() / name, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(index * static_cast<int64_t>(sizeof(T)));
    file.write(reinterpret_cast<const char*>(&value), sizeof(T));
  }

  TempFolder folder_;
  Json description_;
};

TEST_F(DamagedStore, FilesOfOtherSizesAreRefused) {
  for (const char* name : {"tokens.bin", "offsets.bin", "loss.bin"}) {
    const fs::path file = folder_.path() / name;
    const auto bytes = fs::file_size(file);
    for (const auto other : {bytes - 1, bytes + 1, bytes * 0}) {
      fs::resize_file(file, other);
      expect_parts(error(), {name, "damaged cache", "delete its folder"});
    }
    fs::resize_file(file, bytes);
    fs::rename(file, folder_.path() / "away");
    expect_parts(error(), {name});
    fs::rename(folder_.path() / "away", file);
  }
}

TEST_F(DamagedStore, FilesCutShortWhileTheyAreReadAreAnError) {
  for (const char* name : {"tokens.bin", "offsets.bin", "loss.bin"}) {
    const TempFolder folder;
    fs::copy(folder_.path(), folder.path(), fs::copy_options::recursive);
    const TokenStore store(folder.path(), description_);
    fs::resize_file(folder.path() / name, 1);
    const auto read_all = [&] {
      for (int64_t i = 0; i < store.documents(); ++i) {
        Sample sample;
        store.read(store.offset(i), store.offset(i + 1) - store.offset(i), sample);
      }
    };
    expect_parts(testing_support::run_error(read_all), {name, "was cut short while it was read"});
  }
}

TEST_F(DamagedStore, OffsetsThatDoNotRiseAreRefused) {
  overwrite<int64_t>("offsets.bin", 3, -5);
  expect_parts(error(), {"offsets.bin", "do not rise"});
}

TEST_F(DamagedStore, DescriptionsThatDoNotFitAreRefused) {
  for (const Json& bad : {Json(-1), Json("many"), Json(int64_t{1} << 60), Json()}) {
    for (const char* key : {"tokens", "documents", "vocab"}) {
      const Json before = std::exchange(description_[key], bad);
      expect_parts(error(), {"stage.json", key});
      description_[key] = before;
    }
  }
  description_["documents"] = (int64_t{1} << 48) - 1;
  expect_parts(error(), {"offsets.bin"});
}

TEST_F(DamagedStore, IdsThatCannotBeAreFoundWhenRead) {
  const TokenStore store(folder_.path(), description_);
  overwrite<uint16_t>("tokens.bin", 4, 100);
  Sample sample;
  expect_parts(input_error([&] { store.read(0, 6, sample); }), {"tokens.bin", "vocabulary"});
}

}  // namespace
}  // namespace dms::train::data
