#include <limits>

#include "cuda/seal_case.h"

namespace dms::cuda {
namespace {

TEST(SealWindows, AppendsWhatLeavesTheWindow) {
  DMS_NEEDS_CUDA_DEVICE();
  for (const KvFormat format : kFormats) {
    SealProblem problem({.slots = 3, .layers = 2, .kv_heads = 3, .format = format, .keep = 0.7});
    for (int step = 0; step < 85; ++step) {
      std::vector<int32_t> slots{2};
      if (step % 2 == 0) slots.push_back(0);  // slot 1 rests
      problem.decode(slots);
    }
    problem.expect_right();
    EXPECT_EQ(problem.cache().taken(), problem.pages());
    EXPECT_FALSE(problem.cache().is_short());
  }
}

TEST(SealWindows, ServesAllHeadDims) {
  DMS_NEEDS_CUDA_DEVICE();
  for (const int32_t head_dim : {64, 80, 96, 128}) {
    for (const KvFormat format : kFormats) {
      SealProblem problem({.kv_heads = 1,
                           .head_dim = head_dim,
                           .window = 0,
                           .slack = 1,
                           .format = format,
                           .keep = 1.0});
      for (int step = 0; step < 36; ++step) problem.decode({0});
      problem.expect_right();
    }
  }
}

TEST(SealWindows, ForgetsWhatGoes) {
  DMS_NEEDS_CUDA_DEVICE();
  SealProblem problem({.window = 3, .slack = 0, .keep = 0.0});
  for (int step = 0; step < 70; ++step) problem.decode({0});
  problem.expect_right();
  EXPECT_EQ(problem.cache().taken(), 0u);
}

TEST(SealWindows, SealsNothingOfAWindowWithoutAnEnd) {
  DMS_NEEDS_CUDA_DEVICE();
  SealProblem problem({.window = std::numeric_limits<int32_t>::max(), .ring_pages = 3});
  for (int step = 0; step < 40; ++step) problem.decode({0});
  problem.prefill(0, 20);
  problem.decode({0});
  problem.expect_right();
  EXPECT_EQ(problem.cache().taken(), 0u);
}

TEST(SealWindows, ReportsAShortageAndKeepsWhatItHad) {
  DMS_NEEDS_CUDA_DEVICE();
  SealProblem problem({.kv_heads = 5, .window = 0, .slack = 0, .keep = 1.0, .given = 8});
  for (int step = 0; step < 32; ++step) problem.decode({0});
  EXPECT_FALSE(problem.cache().is_short());
  for (int step = 0; step < 8; ++step) problem.decode({0});
  EXPECT_TRUE(problem.cache().is_short());
  EXPECT_EQ(problem.cache().taken(), 8u);
  problem.expect_right();
}

TEST(SealWindows, StopsAtTheEndOfItsTable) {
  DMS_NEEDS_CUDA_DEVICE();
  SealProblem problem({.window = 0, .slack = 0, .keep = 1.0, .max_pages = 1});
  for (int step = 0; step < 40; ++step) problem.decode({0});
  EXPECT_TRUE(problem.cache().is_short());
  EXPECT_EQ(problem.cache().taken(), 2u);
  problem.expect_right();
}

TEST(SealWindows, TakesPagesWhereCountsAndListWrapAround) {
  DMS_NEEDS_CUDA_DEVICE();
  SealProblem problem({.kv_heads = 3,
                       .window = 0,
                       .slack = 0,
                       .keep = 1.0,
                       .taken = std::numeric_limits<uint32_t>::max() - 3});
  for (int step = 0; step < 66; ++step) problem.decode({0});
  EXPECT_EQ(problem.cache().taken(), 9u);
  EXPECT_FALSE(problem.cache().is_short());
  problem.expect_right();
}

TEST(SealChunk, SealsFromWindowAndChunk) {
  DMS_NEEDS_CUDA_DEVICE();
  for (const KvFormat format : kFormats) {
    for (const int32_t slack : {0, 8, 12, 13}) {  // to and across the end of a word
      SealProblem problem({.slots = 2, .layers = 2, .slack = slack, .format = format});
      for (const int32_t count : {1, 27, 5, 33, 64, 1, 100}) problem.prefill(1, count);
      problem.expect_right();
      EXPECT_EQ(problem.cache().taken(), problem.pages());
      EXPECT_FALSE(problem.cache().is_short());
    }
  }
}

TEST(SealChunk, ServesAllHeadDimsAndNumbersOfHeads) {
  DMS_NEEDS_CUDA_DEVICE();
  for (const int32_t head_dim : {64, 80, 96, 128}) {
    for (const int32_t kv_heads : {1, 3, 5}) {
      SealProblem problem({.kv_heads = kv_heads,
                           .head_dim = head_dim,
                           .format = kFormats[kv_heads / 2],
                           .keep = 0.9});
      problem.prefill(0, 70);
      problem.prefill(0, 9);
      problem.expect_right();
    }
  }
}

TEST(SealChunk, SealsAllLengthsAroundAPage) {
  DMS_NEEDS_CUDA_DEVICE();
  for (const int32_t count : {1, 2, 31, 32, 33, 63, 64, 65, 66, 96}) {
    for (const double keep : {0.0, 0.5, 1.0}) {
      SealProblem problem(
          {.kv_heads = 1, .window = 1, .slack = 0, .format = KvFormat::fp8, .keep = keep});
      problem.prefill(0, count);
      problem.prefill(0, count);
      problem.expect_right();
    }
  }
}

TEST(SealChunk, GoesOnWithDecodingAndBack) {
  DMS_NEEDS_CUDA_DEVICE();
  SealProblem problem({.slots = 2, .layers = 2, .format = KvFormat::int8, .keep = 0.8});
  problem.prefill(0, 60);
  for (int step = 0; step < 40; ++step) problem.decode({0, 1});
  problem.prefill(0, 45);
  problem.prefill(1, 90);
  for (int step = 0; step < 10; ++step) problem.decode({1, 0});
  problem.expect_right();
  EXPECT_EQ(problem.cache().taken(), problem.pages());
}

TEST(SealChunk, ReportsAShortageAndKeepsWhatHasAPage) {
  DMS_NEEDS_CUDA_DEVICE();
  for (const int32_t given : {0, 1, 3, 5}) {
    SealProblem problem({.window = 0, .slack = 0, .keep = 1.0, .given = given});
    problem.prefill(0, 40);
    problem.prefill(0, 60);
    EXPECT_TRUE(problem.cache().is_short());
    EXPECT_EQ(problem.cache().taken(), static_cast<uint32_t>(given));
    EXPECT_EQ(problem.pages(), given);
    problem.expect_right();
  }
}

TEST(SealChunk, StopsAtTheEndOfItsTable) {
  DMS_NEEDS_CUDA_DEVICE();
  SealProblem problem({.window = 0, .slack = 0, .keep = 1.0, .max_pages = 2});
  problem.prefill(0, 40);
  EXPECT_FALSE(problem.cache().is_short());
  problem.prefill(0, 60);
  EXPECT_TRUE(problem.cache().is_short());
  EXPECT_EQ(problem.cache().taken(), 4u);
  problem.expect_right();
}

TEST(Seal, StoresWhatIsNotFiniteOrTooSmallAsTheCpu) {
  DMS_NEEDS_CUDA_DEVICE();
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  for (const KvFormat format : kFormats) {
    SealProblem problem({.window = 0, .slack = 0, .format = format, .keep = 1.0});
    problem.spoil({kInfinity,
                   -kInfinity,
                   kNan,
                   0.0f,
                   -0.0f,
                   0x1p-126f,
                   -0x1p-133f,
                   0x1p-118f,
                   -0x1p-117f,
                   0x1.fep127f,
                   448.0f,
                   127.0f,
                   0x1p100f});
    problem.prefill(0, 90);
    for (int step = 0; step < 40; ++step) problem.decode({0});
    problem.expect_right();
  }
}

TEST(Seal, RoundsTiesAsTheCpu) {
  DMS_NEEDS_CUDA_DEVICE();
  for (const KvFormat format : {KvFormat::fp8, KvFormat::int8}) {
    SealProblem problem({.window = 0, .slack = 0, .format = format, .keep = 1.0});
    // Scales of 1, and half way to fp8's least number, between two of its numbers, two integers.
    problem.spoil({448.0f, 127.0f, 0x1p-7f, -0x1p-7f, 0x1p-6f, 0x1.1p3f, -0x1.3p3f, 0.5f, 2.5f});
    problem.prefill(0, 90);
    problem.expect_right();
  }
}

}  // namespace
}  // namespace dms::cuda
