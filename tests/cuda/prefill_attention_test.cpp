#include "prefill_case.h"

namespace dms::cuda {
namespace {

constexpr KvFormat kFormats[] = {KvFormat::bf16, KvFormat::fp8, KvFormat::int8};

void expect_right(const PrefillCase& shape, uint32_t seed = 1) {
  PrefillProblem(shape, seed).expect_right(prefill_attention);
}

TEST(PrefillAttention, AttendsAWholePromptOfAnyLength) {
  DMS_NEEDS_CUDA_DEVICE();
  for (const int32_t count : {1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100}) {
    expect_right({.count = count}, static_cast<uint32_t>(count));
  }
}

TEST(PrefillAttention, AttendsChunksOfAnyLengthAfterAWindow) {
  DMS_NEEDS_CUDA_DEVICE();
  for (const int32_t count : {1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65}) {
    expect_right({.kv_heads = 1, .sealed_end = 31, .first = 80, .count = count, .survivors = 9},
                 static_cast<uint32_t>(count));
  }
}

TEST(PrefillAttention, AttendsSurvivorsOfAnyNumberAndFormat) {
  DMS_NEEDS_CUDA_DEVICE();
  for (const int32_t survivors : {0, 1, 31, 32, 33, 70}) {
    for (const KvFormat format : kFormats) {
      expect_right(
          {.sealed_end = 75, .first = 93, .count = 10, .survivors = survivors, .format = format});
    }
  }
}

TEST(PrefillAttention, ServesAllGroups) {
  DMS_NEEDS_CUDA_DEVICE();
  for (int32_t group = 1; group <= 8; ++group) {
    expect_right(
        {.group = group, .sealed_end = 40, .first = 68, .count = 140 / group, .survivors = 20});
  }
}

TEST(PrefillAttention, ServesAllHeadDims) {
  DMS_NEEDS_CUDA_DEVICE();
  for (const int32_t head_dim : {64, 80, 96, 128}) {
    for (const KvFormat format : kFormats) {
      expect_right({.head_dim = head_dim,
                    .kv_heads = 1,
                    .sealed_end = 50,
                    .first = 90,
                    .count = 35,
                    .survivors = 40,
                    .format = format});
    }
  }
}

TEST(PrefillAttention, ServesAllWindows) {
  DMS_NEEDS_CUDA_DEVICE();
  for (const int32_t window : {0, 1, 16, 40, 1000000, INT32_MAX}) {
    for (const int32_t count : {1, 33, 70}) {
      expect_right({.kv_heads = 1,
                    .window = window,
                    .sealed_end = 3,
                    .first = 50,
                    .count = count,
                    .survivors = 2});
    }
  }
}

TEST(PrefillAttention, ServesExtremeFates) {
  DMS_NEEDS_CUDA_DEVICE();
  for (const double keep : {0.0, 1.0}) {
    for (const int32_t sealed_end : {0, 33}) {
      expect_right(
          {.window = 16, .sealed_end = sealed_end, .first = 70, .count = 70, .keep = keep});
    }
  }
}

TEST(PrefillAttention, RanksKeptTokensAcrossBlocksOfTheGather) {
  DMS_NEEDS_CUDA_DEVICE();
  expect_right({.kv_heads = 1, .group = 1, .window = 8, .first = 300, .count = 300, .keep = 0.1});
  expect_right(
      {.kv_heads = 1, .group = 1, .window = 0, .sealed_end = 17, .first = 17, .count = 600});
}

TEST(PrefillAttention, ScalesScores) {
  DMS_NEEDS_CUDA_DEVICE();
  expect_right({.sealed_end = 5, .first = 20, .count = 20, .survivors = 3, .score_scale = 0.125f});
}

TEST(PrefillAttention, AttendsShapesOfChance) {
  DMS_NEEDS_CUDA_DEVICE();
  std::mt19937 random(7);
  const auto below = [&](int32_t end) {
    return static_cast<int32_t>(random() % static_cast<uint32_t>(end));
  };
  constexpr int32_t kHeadDims[] = {64, 80, 96, 128};
  for (uint32_t trial = 0; trial < 20; ++trial) {
    const int32_t sealed_end = below(3) == 0 ? 0 : below(100);
    expect_right({.head_dim = kHeadDims[below(4)],
                  .kv_heads = 1 + below(3),
                  .group = 1 + below(8),
                  .window = below(60),
                  .sealed_end = sealed_end,
                  .first = sealed_end + below(90),
                  .count = 1 + below(40),
                  .survivors = sealed_end == 0 ? 0 : below(sealed_end),
                  .format = kFormats[below(3)],
                  .keep = 0.1 * below(11)},
                 trial);
  }
}

TEST(PrefillAttention, AttendsNoTokensWithoutALaunch) {
  DMS_NEEDS_CUDA_DEVICE();
  PrefillAttentionParams p{.q_heads = 2};
  p.cache.kv_heads = 1;
  p.cache.head_dim = 64;
  EXPECT_EQ(prefill_attention(p, nullptr), cudaSuccess);
}

TEST(PrefillAttention, RefusesSizesThatDoNotFit) {
  DMS_NEEDS_CUDA_DEVICE();
  PrefillAttentionParams good{.q_heads = 4, .sealed_end = 3, .first = 5, .count = 1};
  good.cache.kv_heads = 2;
  good.cache.head_dim = 64;
  const auto refuses = [&](auto change) {
    PrefillAttentionParams p = good;
    change(p);
    return prefill_attention(p, nullptr) == cudaErrorInvalidValue;
  };
  EXPECT_TRUE(refuses([](auto& p) { p.q_heads = 3; }));
  EXPECT_TRUE(refuses([](auto& p) { p.cache.head_dim = 72; }));
  EXPECT_TRUE(refuses([](auto& p) { p.sealed_end = 6; }));
  EXPECT_TRUE(refuses([](auto& p) { p.window = -1; }));
  EXPECT_TRUE(refuses([](auto& p) { p.count = -1; }));
}

}  // namespace
}  // namespace dms::cuda
