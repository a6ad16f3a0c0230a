#include "model/spec/safetensors_writer.h"

#include <cstring>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/input_file.h"
#include "model/spec/safetensors.h"
#include "model/spec/safetensors_file.h"
#include "support/errors.h"
#include "support/file_limit.h"
#include "support/seed.h"
#include "support/temp_folder.h"

namespace dms {
namespace {

namespace fs = std::filesystem;
using testing_support::expect_parts;
using testing_support::FileLimit;
using testing_support::input_error;
using testing_support::run_error;
using testing_support::stored_bytes;
using testing_support::TempFolder;

std::vector<std::byte> random_bytes(int64_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<std::byte> bytes(static_cast<size_t>(count));
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

/// In pieces of 1, 2, 3, … bytes.
void write_in_pieces(SafetensorsWriter& writer, std::span<const std::byte> bytes) {
  for (size_t count = 1; !bytes.empty(); ++count) {
    const auto piece = bytes.first(std::min(count, bytes.size()));
    writer.write(piece);
    bytes = bytes.subspan(piece.size());
  }
}

TEST(SafetensorsWriter, TensorsAreReadBackAsTheyWereWritten) {
  const TempFolder folder;
  const fs::path path = folder.path() / "w.safetensors";
  const std::vector<TensorDeclaration> tensors{{"step", "I64", {}},
                                               {"b", "F32", {7, 3}},
                                               {"empty", "F32", {0, 5}},
                                               {"a", "BF16", {5}},
                                               {"raw", "U8", {3, 1, 1}},
                                               {"nothing", "U8", {0}}};
  std::vector<std::vector<std::byte>> contents;
  SafetensorsWriter writer(path, tensors, {{"format", "pt"}, {"note", "ä \"quoted\""}});
  for (const TensorDeclaration& tensor : tensors) {
    const auto bytes = tensor_bytes(tensor.dtype, tensor.shape);
    contents.push_back(random_bytes(*bytes, testing_support::seed() + contents.size()));
    write_in_pieces(writer, contents.back());
  }
  EXPECT_FALSE(fs::exists(path));
  writer.close();
  const SafetensorsFile file(path);
  ASSERT_EQ(file.tensors().size(), tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    const TensorEntry& entry = file.tensors().at(tensors[i].name);
    EXPECT_EQ(entry.dtype, tensors[i].dtype);
    EXPECT_EQ(entry.shape, tensors[i].shape);
    EXPECT_TRUE(std::ranges::equal(stored_bytes(file, tensors[i].name), contents[i]))
        << tensors[i].name;
  }
  EXPECT_EQ(file.tensors().at("step").begin % 8, 0);  // the data is aligned for its readers
  const std::string text = read_text_file(path, 10000);
  EXPECT_NE(text.find(R"("__metadata__":{"format":"pt","note":"ä \"quoted\""})"),
            std::string::npos);
}

TEST(SafetensorsWriter, FloatsAreRoundedToTheTensorsType) {
  const TempFolder folder;
  std::mt19937_64 random(testing_support::seed());
  std::normal_distribution<float> normal;
  std::vector<float> values(100'003);  // several conversion buffers and a rest
  for (float& value : values) value = normal(random);
  const auto size = std::ssize(values);
  for (const DType type : {DType::f32, DType::bf16, DType::f16}) {
    const fs::path path = folder.path() / "w.safetensors";
    SafetensorsWriter writer(path, {{"w", std::string(safetensors_name(type)), {size}}});
    writer.write_floats(std::span(values).first(1));
    writer.write_floats({});
    writer.write_floats(std::span(values).subspan(1));
    writer.close();
    const SafetensorsFile file(path);
    const std::vector<std::byte> bytes = stored_bytes(file, "w");
    ASSERT_EQ(std::ssize(bytes), size * dtype_bytes(type));
    for (size_t i = 0; i < values.size(); ++i) {
      if (type == DType::f32) {
        float stored = 0;
        std::memcpy(&stored, bytes.data() + 4 * i, sizeof(stored));
        ASSERT_EQ(stored, values[i]) << i;
      } else {
        uint16_t stored = 0;
        std::memcpy(&stored, bytes.data() + 2 * i, sizeof(stored));
        ASSERT_EQ(stored, type == DType::bf16 ? to_bf16(values[i]).bits : to_half(values[i])) << i;
      }
    }
  }
}

TEST(SafetensorsWriter, AFileWithoutTensorsIsValid) {
  const TempFolder folder;
  SafetensorsWriter writer(folder.path() / "w", {}, {});
  writer.close();
  EXPECT_TRUE(SafetensorsFile(folder.path() / "w").tensors().empty());
}

TEST(SafetensorsWriter, MisuseIsCaught) {
  const TempFolder folder;
  const fs::path path = folder.path() / "w";
  const auto make = [&](const std::vector<TensorDeclaration>& tensors) {
    return SafetensorsWriter(path, tensors);
  };
  EXPECT_THROW(make({{"a", "F32", {1}}, {"a", "F32", {1}}}), std::logic_error);
  EXPECT_THROW(make({{"__metadata__", "F32", {1}}}), std::logic_error);
  EXPECT_THROW(make({{"a", "F99", {1}}}), std::logic_error);
  EXPECT_THROW(make({{"a", "F32", {-1}}}), std::logic_error);
  EXPECT_THROW(make({{"a", "F32", {int64_t{1} << 40, int64_t{1} << 40}}}), std::logic_error);
  EXPECT_THROW(make({{"odd", "BF16", {1}}, {"wide", "F32", {1}}}), std::logic_error);
  const std::vector<float> three{1, 2, 3};
  SafetensorsWriter writer(path, {{"a", "F32", {2}}, {"i", "I32", {2}}});
  EXPECT_THROW(writer.write_floats(three), std::logic_error);  // more than the tensor
  EXPECT_THROW(writer.close(), std::logic_error);              // too early
  writer.write_floats(std::span(three).first(2));
  EXPECT_THROW(writer.write_floats(std::span(three).first(2)), std::logic_error);  // not floats
  writer.write(std::as_bytes(std::span(three).first(2)));
  EXPECT_THROW(writer.write(std::as_bytes(std::span(three))), std::logic_error);  // after the last
  writer.close();
  EXPECT_EQ(SafetensorsFile(path).tensors().size(), 2u);
}

TEST(SafetensorsWriter, AFullDiskLeavesTheOldFileAndNoOther) {
  const TempFolder folder;
  const fs::path path = folder.write("w.safetensors", "old");
  const std::vector<float> values(1'000'000, 1.0f);
  const FileLimit limit(500'000);
  const std::string text = run_error([&] {
    SafetensorsWriter writer(path, {{"w", "F32", {std::ssize(values)}}});
    writer.write_floats(values);
    writer.close();
  });
  expect_parts(text, {path.string(), "cannot be written"});
  EXPECT_EQ(read_text_file(path, 10), "old");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()), 1);
}

TEST(SafetensorsWriter, AMissingFolderIsABadInput) {
  const TempFolder folder;
  const fs::path path = folder.path() / "gone" / "w";
  expect_parts(input_error([&] { SafetensorsWriter(path, {}); }), {path.string()});
}

}  // namespace
}  // namespace dms
