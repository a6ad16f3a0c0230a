#include "cli/roofline.h"

#include <gtest/gtest.h>

namespace dms::cli {
namespace {

ModelInfo small_model() {
  ModelInfo info;
  info.layers = 2;
  info.hidden = 8;
  info.q_heads = 4;
  info.kv_heads = 2;
  info.head_dim = 3;
  info.vocab = 10;
  info.parameters = 1000;
  return info;
}

/// The definition: query by query, key by key.
double plain_visible_keys(int64_t context, int64_t tokens, const Visibility& visibility) {
  double sum = 0;
  for (int64_t t = context; t < context + tokens; ++t) {
    for (int64_t i = 0; i <= t; ++i) {
      sum += t - i <= visibility.window_tokens ? 1.0 : visibility.keep;
    }
  }
  return sum;
}

TEST(VisibleKeys, EqualsTheCountOverAllPairs) {
  for (const int64_t context : {0, 3, 50}) {
    for (const int64_t tokens : {1, 7, 64}) {
      for (const int64_t window : {0, 1, 5, 40, 1000}) {
        for (const double keep : {0.0, 0.125, 1.0}) {
          const Visibility visibility{.window_tokens = window, .keep = keep};
          EXPECT_DOUBLE_EQ(visible_keys(context, tokens, visibility),
                           plain_visible_keys(context, tokens, visibility))
              << context << " " << tokens << " " << window << " " << keep;
        }
      }
    }
  }
}

TEST(Parameters, OfTheBodyLeaveOutEmbeddingAndHead) {
  ModelInfo info = small_model();
  EXPECT_EQ(body_parameters(info), 1000 - 2 * 80);
  info.tied_head = true;
  EXPECT_EQ(body_parameters(info), 1000 - 80);
}

TEST(WeightBytes, CountScalesAndKeepTheTablesInEightBits) {
  ModelInfo info = small_model();
  const auto read = [&](const char* weights) {
    info.weights = weights;
    return decode_weight_bytes(info);
  };
  EXPECT_DOUBLE_EQ(read("bf16"), 2.0 * (840 + 80));  // the embedding is not read
  EXPECT_DOUBLE_EQ(read("f32"), 4.0 * (840 + 80));
  EXPECT_DOUBLE_EQ(read("int8"), 34.0 / 32 * (840 + 80));
  EXPECT_DOUBLE_EQ(read("int4"), 18.0 / 32 * 840 + 34.0 / 32 * 80);
  EXPECT_DOUBLE_EQ(weight_bytes(info), 18.0 / 32 * 840 + 34.0 / 32 * 160);
  info.tied_head = true;
  EXPECT_DOUBLE_EQ(weight_bytes(info), 18.0 / 32 * 920 + 34.0 / 32 * 80);
}

TEST(PrefillFlops, CountsTheHeadOnceAndBothProductsOfAttention) {
  const ModelInfo info = small_model();
  const Visibility dense{.window_tokens = 0, .keep = 1.0};
  const double attention = 2.0 * 2.0 * 2 * 4 * 3 * (1 + 2 + 3 + 4 + 5);
  const PrefillFlops flops = prefill_flops(info, 0, 5, dense);
  EXPECT_DOUBLE_EQ(flops.products, 2.0 * 840 * 5 + 2.0 * 80);
  EXPECT_DOUBLE_EQ(flops.attention, attention);
}

TEST(KeptShare, IsWhatTheHeldEntriesSay) {
  const ModelInfo info = small_model();
  // 4 heads of 100 tokens, window 19: 20 near ones and 80 older, of which a quarter is held.
  EXPECT_DOUBLE_EQ(kept_share(info, 100, 4 * (20 + 20), 19), 0.25);
  EXPECT_DOUBLE_EQ(kept_share(info, 100, 4 * 100, 19), 1.0);
  EXPECT_DOUBLE_EQ(kept_share(info, 10, 4 * 10, 19), 1.0);
}

}  // namespace
}  // namespace dms::cli
