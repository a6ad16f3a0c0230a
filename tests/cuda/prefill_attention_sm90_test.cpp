#include "prefill_case.h"

namespace dms::cuda {
namespace {

constexpr KvFormat kFormats[] = {KvFormat::bf16, KvFormat::fp8, KvFormat::int8};

void expect_right(const PrefillCase& shape, uint32_t seed = 1) {
  PrefillProblem(shape, seed).expect_right(prefill_attention_sm90);
}

TEST(PrefillAttentionSm90, AttendsAWholePromptOfAnyLength) {
  DMS_NEEDS_CUDA_SM90();
  for (const int32_t count : {1, 2, 31, 33, 63, 64, 65, 127, 128, 129, 200}) {
    expect_right({.kv_heads = 1, .group = 1, .count = count}, static_cast<uint32_t>(count));
  }
}

TEST(PrefillAttentionSm90, AttendsSurvivorsOfAnyNumberAndFormat) {
  DMS_NEEDS_CUDA_SM90();
  for (const int32_t survivors : {0, 1, 32, 127, 128, 129, 300}) {
    for (const KvFormat format : kFormats) {
      expect_right({.kv_heads = 1,
                    .sealed_end = 305,
                    .first = 323,
                    .count = 10,
                    .survivors = survivors,
                    .format = format});
    }
  }
}

TEST(PrefillAttentionSm90, AttendsLongRuns) {
  DMS_NEEDS_CUDA_SM90();
  expect_right({.kv_heads = 1,
                .group = 1,
                .window = 40,
                .sealed_end = 600,
                .first = 700,
                .count = 140,
                .survivors = 520});
  expect_right(
      {.head_dim = 128, .kv_heads = 1, .group = 1, .window = 1, .count = 300, .keep = 0.9});
}

TEST(PrefillAttentionSm90, ServesAllGroups) {
  DMS_NEEDS_CUDA_SM90();
  for (int32_t group = 1; group <= 8; ++group) {
    expect_right({.head_dim = group % 3 == 0 ? 128 : 64,
                  .kv_heads = 1 + group % 2,
                  .group = group,
                  .sealed_end = 40,
                  .first = 68,
                  .count = 140 / group,
                  .survivors = 20});
  }
}

TEST(PrefillAttentionSm90, ServesAllFormatsOfLargeHeads) {
  DMS_NEEDS_CUDA_SM90();
  for (const KvFormat format : kFormats) {
    expect_right({.head_dim = 128,
                  .kv_heads = 1,
                  .sealed_end = 150,
                  .first = 190,
                  .count = 35,
                  .survivors = 140,
                  .format = format});
  }
}

TEST(PrefillAttentionSm90, ServesAllWindows) {
  DMS_NEEDS_CUDA_SM90();
  for (const int32_t window : {0, 1, 16, 40, INT32_MAX}) {
    for (const int32_t count : {1, 70}) {
      expect_right({.kv_heads = 1,
                    .window = window,
                    .sealed_end = 3,
                    .first = 50,
                    .count = count,
                    .survivors = 2});
    }
  }
}

TEST(PrefillAttentionSm90, ServesExtremeFates) {
  DMS_NEEDS_CUDA_SM90();
  for (const double keep : {0.0, 1.0}) {
    expect_right({.window = 16, .sealed_end = 33, .first = 70, .count = 70, .keep = keep});
  }
}

TEST(PrefillAttentionSm90, LeavesOtherHeadDimsToOthers) {
  PrefillAttentionParams p{.q_heads = 2, .count = 1};
  p.cache.kv_heads = 1;
  p.cache.head_dim = 80;
  EXPECT_EQ(prefill_attention_sm90(p, nullptr), cudaErrorNotSupported);
  p.q_heads = 0;
  EXPECT_EQ(prefill_attention_sm90(p, nullptr), cudaErrorInvalidValue);
}

}  // namespace
}  // namespace dms::cuda
