#include "prefill_case.h"

namespace dms::cuda {
namespace {

void expect_right(const PrefillCase& shape, uint32_t seed = 1) {
  PrefillProblem(shape, seed).expect_right(prefill_attention);
}

TEST(PrefillAttention, AttendsAWholePromptOfAnyLength) {
  for (const int32_t count : {1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100}) {
    expect_right({.window = 16, .count = count}, static_cast<uint32_t>(count));
  }
}

TEST(PrefillAttention, AttendsAfterWhatCameBefore) {
  for (const int32_t survivors : {0, 1, 31, 32, 33, 70}) {
    for (const KvFormat format : {KvFormat::bf16, KvFormat::fp8, KvFormat::int8}) {
      expect_right({.window = 16,
                    .sealed_end = 75,
                    .first = 123,
                    .count = 33,
                    .survivors = survivors,
                    .format = format});
    }
  }
}

TEST(PrefillAttention, ServesAllGroups) {
  for (int32_t group = 1; group <= 8; ++group) {
    expect_right(
        {.group = group, .sealed_end = 40, .first = 88, .count = 150 / group, .survivors = 20});
  }
}

TEST(PrefillAttention, ServesAllHeadDims) {
  for (const int32_t head_dim : {64, 80, 96, 128}) {
    for (const KvFormat format : {KvFormat::bf16, KvFormat::fp8, KvFormat::int8}) {
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
  for (const int32_t window : {0, 1, 16, 40, 1000000, INT32_MAX}) {
    for (const int32_t count : {1, 33, 100}) {
      expect_right(
          {.window = window, .sealed_end = 3, .first = 60, .count = count, .survivors = 2});
    }
  }
}

TEST(PrefillAttention, ServesExtremeFates) {
  for (const double keep : {0.0, 1.0}) {
    expect_right({.window = 16, .sealed_end = 33, .first = 70, .count = 70, .keep = keep});
  }
}

}  // namespace
}  // namespace dms::cuda
