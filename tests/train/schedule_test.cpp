// Each schedule at its edges, by hand.

#include "train/schedule.h"

#include <cmath>

#include <gtest/gtest.h>

namespace dms::train {
namespace {

TrainerSection trainer(LrSchedule schedule, int64_t max_steps, int64_t warmup_steps) {
  TrainerSection section;
  section.schedule = schedule;
  section.max_steps = max_steps;
  section.warmup_steps = warmup_steps;
  return section;
}

struct Point {
  int64_t step;
  double factor;
};

void expect_points(const TrainerSection& section, const std::vector<Point>& points) {
  for (const auto& [step, factor] : points) {
    EXPECT_NEAR(lr_factor(section, step), factor, 1e-15) << "step " << step;
  }
}

TEST(LearningRate, ConstantStaysAtOne) {
  expect_points(trainer(LrSchedule::constant, 10, 0), {{0, 1}, {5, 1}, {9, 1}, {100, 1}});
}

TEST(LearningRate, WarmsUpFromTheFirstStepOn) {
  expect_points(trainer(LrSchedule::constant, 10, 4),
                {{0, 0.25}, {1, 0.5}, {3, 1}, {4, 1}, {9, 1}});
}

TEST(LearningRate, LinearEndsAtTheMinimum) {
  TrainerSection section = trainer(LrSchedule::linear, 10, 2);
  expect_points(section, {{0, 0.5}, {1, 1}, {2, 1}, {6, 0.5}, {9, 0.125}, {10, 0}, {11, 0}});
  section.min_lr_ratio = 0.2;
  expect_points(section, {{0, 0.5}, {2, 1}, {6, 0.6}, {10, 0.2}, {50, 0.2}});
}

TEST(LearningRate, CosineEndsAtTheMinimum) {
  TrainerSection section = trainer(LrSchedule::cosine, 13, 1);
  expect_points(section, {{0, 1}, {1, 1}, {5, 0.75}, {7, 0.5}, {9, 0.25}, {13, 0}, {99, 0}});
  section.min_lr_ratio = 0.1;
  expect_points(section, {{1, 1}, {7, 0.55}, {13, 0.1}});
}

TEST(LearningRate, StableThenDecay) {
  TrainerSection section = trainer(LrSchedule::warmup_stable_decay, 20, 2);
  section.decay_steps = 8;
  expect_points(section,
                {{0, 0.5}, {1, 1}, {2, 1}, {12, 1}, {16, 0.5}, {19, 0.03806023374435663}, {20, 0}});
  section.min_lr_ratio = 0.5;
  expect_points(section, {{12, 1}, {16, 0.75}, {20, 0.5}});
  section.decay_steps = 0;
  expect_points(section, {{12, 1}, {20, 1}});
}

TrainConfig dms_config(double initial, double final_cr, int64_t final_step) {
  TrainConfig config;
  config.dms.initial_cr = initial;
  config.dms.final_cr = final_cr;
  config.dms.final_step = final_step;
  return config;
}

/// NVIDIA's recipe: CR 8 is reached at step 238.
TEST(CompressionRatio, RisesInALineToItsFinalStep) {
  const TrainConfig config = dms_config(1, 16, 510);
  for (const auto& [step, cr] :
       std::vector<Point>{{0, 1}, {34, 2}, {238, 8}, {510, 16}, {511, 16}, {100000, 16}}) {
    EXPECT_NEAR(compression_ratio(config, step), cr, 1e-12) << step;
    EXPECT_NEAR(target_fraction(config, step), 1.0 - 1.0 / cr, 1e-12) << step;
  }
}

TEST(CompressionRatio, EndsWithTheRunWhereNoStepIsNamed) {
  TrainConfig config = dms_config(2, 4, 1);
  config.dms.final_step.reset();
  config.trainer.max_steps = 10;
  EXPECT_DOUBLE_EQ(compression_ratio(config, 0), 2.0);
  EXPECT_DOUBLE_EQ(compression_ratio(config, 5), 3.0);
  EXPECT_DOUBLE_EQ(compression_ratio(config, 10), 4.0);
}

/// FastDMS: 2000 steps of fading, then 100 steps a unit.
TEST(CompressionRatio, WaitsForTheBorrowedChannelToFade) {
  TrainConfig config = dms_config(1, 8, 2700);
  config.dms.fade_steps = 2000;
  config.dms.tau = 0.1;
  config.dms.tau_start = 1.0;
  for (const auto& [step, cr] :
       std::vector<Point>{{0, 1}, {1999, 1}, {2000, 1}, {2100, 2}, {2650, 7.5}, {2700, 8}}) {
    EXPECT_NEAR(compression_ratio(config, step), cr, 1e-12) << step;
    EXPECT_NEAR(temperature(config, step), 1.0 - 0.9 * (cr - 1.0) / 7.0, 1e-12) << step;
  }
  for (const auto& [step, left] :
       std::vector<Point>{{0, 1}, {500, 0.75}, {1999, 0.0005}, {2000, 0}, {2700, 0}}) {
    EXPECT_NEAR(borrowed_left(config, step), left, 1e-12) << step;
  }
}

TEST(Temperature, StaysWhereNoStartIsNamed) {
  TrainConfig config = dms_config(1, 8, 100);
  config.dms.tau = 0.3;
  EXPECT_DOUBLE_EQ(temperature(config, 0), 0.3);
  EXPECT_DOUBLE_EQ(temperature(config, 77), 0.3);
  EXPECT_DOUBLE_EQ(borrowed_left(config, 0), 0.0);
}

}  // namespace
}  // namespace dms::train
