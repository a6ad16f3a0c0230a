#include "train/checkpoint/train_state.h"

#include <limits>
#include <string>

#include <gtest/gtest.h>

#include "base/input_file.h"
#include "base/json.h"
#include "support/errors.h"
#include "support/temp_folder.h"

namespace dms::train {
namespace {

using testing_support::expect_parts;
using testing_support::input_error;
using testing_support::TempFolder;

TEST(TrainStateTest, IsReadAsItWasWritten) {
  const TempFolder folder;
  const auto file = folder.path() / kTrainStateFile;
  const TrainState state{.step = 510,
                         .samples = int64_t{1} << 45,
                         .seed = std::numeric_limits<uint64_t>::max(),
                         .config = "dms:\n  tau: 0.1  # \"ä\"\n\ttab\n",
                         .sinks = 7};
  write_train_state(file, state);
  const TrainState read = read_train_state(file);
  EXPECT_EQ(read.step, state.step);
  EXPECT_EQ(read.samples, state.samples);
  EXPECT_EQ(read.seed, state.seed);
  EXPECT_EQ(read.config, state.config);
  EXPECT_EQ(read.sinks, state.sinks);
}

TEST(TrainStateTest, BadFieldsAreNamed) {
  const TempFolder folder;
  const auto file = folder.path() / kTrainStateFile;
  write_train_state(file, {.step = 1, .samples = 2, .seed = 3, .config = "x"});
  const Json good = Json::parse(read_text_file(file, 10000));
  for (const char* key : {"format", "version", "step", "samples", "seed", "config"}) {
    for (const Json& bad : {Json(-1), Json(1.5), Json(Json::array())}) {
      Json spoiled = good;
      spoiled[key] = bad;
      folder.write(kTrainStateFile, spoiled.dump());
      expect_parts(input_error([&] { read_train_state(file); }), {file.string(), key});
    }
    Json spoiled = good;
    spoiled.erase(key);
    folder.write(kTrainStateFile, spoiled.dump());
    expect_parts(input_error([&] { read_train_state(file); }), {file.string(), key});
  }
}

TEST(TrainStateTest, SinksMayBeAbsentButNotWrong) {
  const TempFolder folder;
  const auto file = folder.path() / kTrainStateFile;
  write_train_state(file, {.step = 1, .samples = 2, .seed = 3, .config = "x"});
  EXPECT_FALSE(read_train_state(file).sinks);
  Json spoiled = Json::parse(read_text_file(file, 10000));
  spoiled["n_sink"] = -1;
  folder.write(kTrainStateFile, spoiled.dump());
  expect_parts(input_error([&] { read_train_state(file); }), {file.string(), "n_sink", "-1"});
}

TEST(TrainStateTest, AConfigThatIsNotTextIsRefused) {
  const TempFolder folder;
  const auto file = folder.path() / kTrainStateFile;
  expect_parts(input_error([&] { write_train_state(file, {.config = "\xff\xfe"}); }),
               {file.string(), "config", "UTF-8"});
  EXPECT_FALSE(std::filesystem::exists(file));
}

}  // namespace
}  // namespace dms::train
