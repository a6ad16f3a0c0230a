// Every configuration that comes with the project is one that can be read.

#include <filesystem>
#include <string>

#include <gtest/gtest.h>

#include "train/config/train_config.h"

namespace dms::train {
namespace {

const std::filesystem::path kConfigs = std::filesystem::path(DMS_SOURCE_DIR) / "configs";

TEST(ConfigFiles, AllAreReadWithoutNotes) {
  int files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(kConfigs)) {
    if (entry.path().extension() != ".yaml") continue;
    SCOPED_TRACE(entry.path().string());
    ++files;
    TrainConfig config;
    ASSERT_NO_THROW(config = load_train_config(entry.path(), {}));
    for (const std::string& note : config.notes) ADD_FAILURE() << note;
  }
  EXPECT_GE(files, 4);
}

TEST(ConfigFiles, QwenIsNvidiasRecipe) {
  const TrainConfig config = load_train_config(kConfigs / "qwen3_8b.yaml", {});
  EXPECT_EQ(config.dms.window_size, 512);
  EXPECT_EQ(config.dms.final_cr, 16.0);
  EXPECT_EQ(config.dms.final_step, 510);
  EXPECT_EQ(config.trainer.max_steps, 544);
  EXPECT_EQ(config.trainer.learning_rate, 3e-5);
  EXPECT_EQ(config.data.max_length, 32768);
}

TEST(ConfigFiles, TwoPhaseRecipeRaisesTheRatioAHundredStepsAUnit) {
  const TrainConfig config = load_train_config(kConfigs / "llama_neuron_two_phase.yaml", {});
  EXPECT_EQ(config.dms.fade_steps, 2000);
  const double steps = static_cast<double>(*config.dms.final_step - config.dms.fade_steps);
  EXPECT_EQ(steps, 100 * (config.dms.final_cr - config.dms.initial_cr));
  EXPECT_EQ(config.trainer.max_steps, *config.dms.final_step);
  EXPECT_EQ(config.trainer.learning_rate, 1e-5);
}

}  // namespace
}  // namespace dms::train
