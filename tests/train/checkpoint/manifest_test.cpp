#include "train/checkpoint/manifest.h"

#include <string>

#include <gtest/gtest.h>

#include "base/input_file.h"
#include "base/json.h"
#include "support/errors.h"
#include "support/temp_folder.h"

namespace dms::train {
namespace {

namespace fs = std::filesystem;
using testing_support::expect_parts;
using testing_support::input_error;
using testing_support::TempFolder;

Json good() {
  return {{"format", "dms-checkpoint"},
          {"version", 1},
          {"step", 5},
          {"world_size", 2},
          {"files", Json::array({{{"name", "a"}, {"bytes", 9}, {"crc32", "cbf43926"}}})}};
}

TEST(ManifestTest, IsReadAsItWasWritten) {
  const TempFolder folder;
  folder.write("b", "123456789");
  folder.write("a", "");
  write_manifest(folder.path(), make_manifest(folder.path(), 12, 3));
  const Manifest manifest = read_manifest(folder.path());
  EXPECT_EQ(manifest.step, 12);
  EXPECT_EQ(manifest.world_size, 3);
  ASSERT_EQ(manifest.files.size(), 2u);
  EXPECT_EQ(manifest.files[0].name, "a");
  EXPECT_EQ(manifest.files[0].bytes, 0);
  EXPECT_EQ(manifest.files[1].name, "b");
  EXPECT_EQ(manifest.files[1].bytes, 9);
  EXPECT_EQ(manifest.files[1].crc32, 0xcbf43926u);
  EXPECT_NO_THROW(check_files(folder.path(), manifest, Check::contents));
}

TEST(ManifestTest, EveryKindOfDamageIsNamed) {
  const TempFolder folder;
  const std::string content = "weights, weights, weights";
  const fs::path file = folder.write("w", content);
  const Manifest manifest = make_manifest(folder.path(), 1, 1);
  const auto damage = [&](Check check) {
    return input_error([&] { check_files(folder.path(), manifest, check); });
  };
  folder.write("w", content.substr(0, 20));
  expect_parts(damage(Check::sizes), {file.string(), "shorter", "20 bytes", "25"});
  folder.write("w", content + "!");
  expect_parts(damage(Check::sizes), {file.string(), "longer", "26 bytes", "25"});
  for (size_t at = 0; at < content.size(); ++at) {
    std::string flipped = content;
    flipped[at] = static_cast<char>(flipped[at] ^ 4);
    folder.write("w", flipped);
    EXPECT_NO_THROW(check_files(folder.path(), manifest, Check::sizes));
    expect_parts(damage(Check::contents), {file.string(), "damaged"});
  }
  fs::remove(file);
  expect_parts(damage(Check::sizes), {file.string(), "missing from the checkpoint"});
}

TEST(ManifestTest, EveryTruncationIsRefused) {
  const TempFolder folder;
  folder.write("w", "123");
  write_manifest(folder.path(), make_manifest(folder.path(), 7, 1));
  const std::string text = read_text_file(folder.path() / kManifestFile, 10000);
  for (size_t length = 0; length + 2 < text.size(); ++length) {  // "}\n" ends it
    folder.write(kManifestFile, text.substr(0, length));
    expect_parts(input_error([&] { read_manifest(folder.path()); }), {"manifest.json"});
  }
}

struct BadManifest {
  const char* name;
  void (*spoil)(Json& manifest);
  const char* says;
};

class RefusedManifest : public ::testing::TestWithParam<BadManifest> {};

TEST_P(RefusedManifest, NamesTheField) {
  const TempFolder folder;
  Json manifest = good();
  folder.write(kManifestFile, manifest.dump());
  ASSERT_NO_THROW(read_manifest(folder.path()));
  GetParam().spoil(manifest);
  folder.write(kManifestFile, manifest.dump());
  expect_parts(input_error([&] { read_manifest(folder.path()); }),
               {"manifest.json", GetParam().says});
}

INSTANTIATE_TEST_SUITE_P(
    Fields,
    RefusedManifest,
    ::testing::Values(
        BadManifest{"Format", [](Json& m) { m["format"] = "x"; }, "not a checkpoint's manifest"},
        BadManifest{"NoFormat", [](Json& m) { m.erase("format"); }, "format"},
        BadManifest{"Version", [](Json& m) { m["version"] = 2; }, "version"},
        BadManifest{"Step", [](Json& m) { m["step"] = -1; }, "step"},
        BadManifest{"HugeStep", [](Json& m) { m["step"] = INT64_MAX; }, "step"},
        BadManifest{"World", [](Json& m) { m["world_size"] = 0; }, "world_size"},
        BadManifest{"NoFiles", [](Json& m) { m.erase("files"); }, "files"},
        BadManifest{"FilesAnObject", [](Json& m) { m["files"] = Json::object(); }, "files"},
        BadManifest{"FileANumber", [](Json& m) { m["files"][0] = 3; }, "file 0"},
        BadManifest{"Bytes", [](Json& m) { m["files"][0]["bytes"] = -1; }, "bytes"},
        BadManifest{"ShortCrc", [](Json& m) { m["files"][0]["crc32"] = "abc"; }, "crc32"},
        BadManifest{"NoHex", [](Json& m) { m["files"][0]["crc32"] = "+bf43926"; }, "crc32"},
        BadManifest{"Dots", [](Json& m) { m["files"][0]["name"] = ".."; }, "plain file name"},
        BadManifest{"Path", [](Json& m) { m["files"][0]["name"] = "/etc/x"; }, "plain file name"},
        BadManifest{"NoName", [](Json& m) { m["files"][0]["name"] = ""; }, "plain file name"}),
    [](const auto& item) { return std::string(item.param.name); });

}  // namespace
}  // namespace dms::train
