// DMS settings in both projects' forms, and which of them a folder has.

#include "model/spec/dms_metadata.h"

#include <filesystem>
#include <string>

#include <gtest/gtest.h>

#include "model/spec/load.h"
#include "model/spec/tiny_config.h"
#include "support/errors.h"
#include "support/temp_folder.h"

namespace dms {
namespace {

using testing_support::expect_parts;
using testing_support::input_error;
using testing_support::TempFolder;
using testing_support::tiny_config;

constexpr const char* kConfig = "model/config.json";
constexpr const char* kMetadata = "model/dms_metadata.json";

DmsSpec load(const TempFolder& folder, MetadataScope scope = MetadataScope::with_parent) {
  return load_spec(folder.path() / "model", scope).dms.value_or(DmsSpec{.origin = "none"});
}

TEST(DmsMetadata, NvidiasFormDecidesFromTheNextToken) {
  const TempFolder folder;
  Json config = tiny_config();
  config["dms_cr"] = 8;
  folder.write(kConfig, config.dump());
  const DmsSpec plain = load(folder);
  EXPECT_EQ(plain.source, DmsSource::neuron);
  EXPECT_EQ(plain.decision_shift, 1);
  EXPECT_TRUE(plain.zero_after_rope);
  EXPECT_EQ(plain.window, 512);
  EXPECT_EQ(plain.alpha_scale, 100.0);
  EXPECT_EQ(plain.alpha_offset, 5.0);
  EXPECT_EQ(plain.target_cr, 8.0);
  EXPECT_FALSE(plain.alpha_bias);
  EXPECT_EQ(plain.sinks, 0);
  config.update({{"dms_window_size", 0},
                 {"dms_alpha_per", "layer"},
                 {"dms_disable_eviction", true},
                 {"dms_decision_shift", 0},
                 {"dms_separate_alpha", true},
                 {"dms_alpha_bias", true},
                 {"dms_n_sink", 4}});
  folder.write(kConfig, config.dump());
  const DmsSpec full = load(folder);
  EXPECT_EQ(full.source, DmsSource::adapter);
  EXPECT_EQ(full.window, 0);
  EXPECT_TRUE(full.per_layer);
  EXPECT_TRUE(full.disable_eviction);
  EXPECT_EQ(full.decision_shift, 0);
  EXPECT_TRUE(full.alpha_bias);
  EXPECT_EQ(full.sinks, 4);
}

TEST(DmsMetadata, FastDmsFormIsReadFlatNestedAndUnderEitherName) {
  const TempFolder folder;
  folder.write(kConfig, tiny_config().dump());
  folder.write(kMetadata, "{}");
  EXPECT_EQ(load(folder).window, 256);
  const Json own = {{"window_size", 0}, {"alpha_scale", 9}, {"alpha_offset", 2}, {"target_cr", 4}};
  const Json nvidias = {{"dms_window_size", 0},
                        {"dms_alpha_scale", 9},
                        {"dms_initial_alpha_offset", 2},
                        {"dms_cr", 4}};
  for (const Json& keys : {own, nvidias}) {
    for (const Json& form : {keys, Json{{"config", keys}}}) {
      folder.write(kMetadata, form.dump());
      const DmsSpec spec = load(folder);
      EXPECT_EQ(spec.source, DmsSource::neuron);
      EXPECT_EQ(spec.decision_shift, 0);
      EXPECT_FALSE(spec.zero_after_rope);
      EXPECT_EQ(spec.window, 0);
      EXPECT_EQ(spec.alpha_scale, 9.0);
      EXPECT_EQ(spec.alpha_offset, 2.0);
      EXPECT_EQ(spec.target_cr, 4.0);
    }
  }
}

TEST(DmsMetadata, TheNearestFileDecides) {
  const TempFolder folder;
  Json config = tiny_config();
  folder.write(kConfig, config.dump());
  EXPECT_EQ(load(folder).origin, "none");
  config["dms_window_size"] = 11;
  folder.write(kConfig, config.dump());
  EXPECT_EQ(load(folder).window, 11);
  folder.write("training_log.json", R"({"config": {"window_size": 22}})");
  EXPECT_EQ(load(folder).window, 22);
  EXPECT_EQ(load(folder, MetadataScope::folder_only).window, 11) << "a server stays in the folder";
  folder.write(kMetadata, R"({"window_size": 33})");
  EXPECT_EQ(load(folder).window, 33);
  EXPECT_EQ(load(folder, MetadataScope::folder_only).window, 33);
}

TEST(DmsMetadata, ATrainingLogOfAnybodyElseCountsForNothing) {
  const TempFolder folder;
  folder.write(kConfig, tiny_config().dump());
  for (const char* text : {"",
                           "{",
                           "[1, 2]",
                           "{}",
                           R"({"config": {"lr": 0.1}, "loss": [3, 2]})",
                           R"({"config": 7})",
                           R"({"window_size": "hann", "alpha_scale": null})"}) {
    folder.write("training_log.json", text);
    EXPECT_EQ(load(folder).origin, "none") << text;
  }
  const std::filesystem::path log = folder.path() / "training_log.json";
  std::filesystem::remove(log);
  std::filesystem::create_symlink(log, log);
  EXPECT_EQ(load(folder).origin, "none");
}

TEST(DmsMetadata, ATrainingLogWithAnySettingCounts) {
  const TempFolder folder;
  folder.write(kConfig, tiny_config().dump());
  for (const char* key : {"window_size",
                          "dms_window_size",
                          "alpha_scale",
                          "dms_alpha_scale",
                          "alpha_offset",
                          "dms_alpha_offset",
                          "dms_initial_alpha_offset",
                          "target_cr",
                          "dms_cr"}) {
    for (const Json& form : {Json{{key, 4}}, Json{{"config", {{key, 4}}}, {"loss", 1}}}) {
      folder.write("training_log.json", form.dump());
      expect_parts(load(folder).origin, {"training_log.json"});
    }
  }
  folder.write("training_log.json", R"({"window_size": -4})");
  expect_parts(input_error([&] { load(folder); }), {"training_log.json: window_size", "got -4"});
}

TEST(DmsMetadata, TheParentIsThatOfThePathAsGiven) {
  const TempFolder folder;
  folder.write("store/model/config.json", tiny_config().dump());
  folder.write("store/training_log.json", R"({"window_size": 44})");
  folder.write("mine/training_log.json", R"({"window_size": 55})");
  const auto link = folder.path() / "mine" / "link";
  std::filesystem::create_directory_symlink(folder.path() / "store" / "model", link);
  for (const auto& path : {link, link / "", link / "."}) {
    EXPECT_EQ(load_spec(path, MetadataScope::with_parent).dms.value().window, 55) << path;
  }
}

TEST(DmsMetadata, BadValuesAreNamed) {
  const TempFolder folder;
  folder.write(kConfig, tiny_config().dump());
  folder.write(kMetadata, R"({"config": {"window_size": -1}})");
  expect_parts(input_error([&] { load(folder); }),
               {"dms_metadata.json", "window_size", "got -1", "0 to"});
  folder.write(kMetadata, R"({"alpha_offset": "five"})");
  expect_parts(input_error([&] { load(folder); }),
               {"dms_metadata.json: alpha_offset", "got \"five\"", "a number"});
  folder.write(kMetadata, "[1]");
  expect_parts(input_error([&] { load(folder); }), {"dms_metadata.json", "a JSON object"});
}

}  // namespace
}  // namespace dms
