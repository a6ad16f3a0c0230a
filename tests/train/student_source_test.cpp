#include "train/student_source.h"

#include <gtest/gtest.h>

#include "train/tiny_student.h"

namespace dms::train {
namespace {

TrainConfig adapter_config() {
  TrainConfig config;
  config.model.name = "base";
  config.dms.train = {"adapter"};
  return config;
}

const ModelSpec kSpec = fixture::tiny_spec({.dms = DmsSpec{.source = DmsSource::adapter}});

TEST(NeedsOwnTeacher, FrozenWeightsServeBoth) {
  EXPECT_FALSE(needs_own_teacher(adapter_config(), kSpec));
}

TEST(NeedsOwnTeacher, WhereTheBaseIsTrained) {
  for (const char* pattern : {"all", "*.self_attn.q_proj.*"}) {
    TrainConfig config = adapter_config();
    config.dms.train = {pattern};
    EXPECT_TRUE(needs_own_teacher(config, kSpec)) << pattern;
  }
}

TEST(NeedsOwnTeacher, WhereItIsAnotherFolder) {
  TrainConfig config = adapter_config();
  config.model.teacher = "other";
  EXPECT_TRUE(needs_own_teacher(config, kSpec));
}

TEST(NeedsOwnTeacher, WhereItComputesInAnotherType) {
  TrainConfig config = adapter_config();
  config.model.dtype = DType::f32;
  config.model.teacher_dtype = DType::bf16;
  config.trainer.bf16 = false;
  EXPECT_TRUE(needs_own_teacher(config, kSpec));
  config.trainer.bf16 = true;  // then both do
  EXPECT_FALSE(needs_own_teacher(config, kSpec));
}

}  // namespace
}  // namespace dms::train
