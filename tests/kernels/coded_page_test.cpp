// Pages whose sides hold codes: how far what they give back is from what was stored.

#include <algorithm>
#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "kernels/isas.h"
#include "kernels/kv_rotation.h"
#include "kernels/page_cases.h"
#include "support/seed.h"

namespace dms::kernels {
namespace {

/// Largest magnitude of a token's channels.
float largest(std::span<const float> x) {
  float size = 0;
  for (const float value : x) size = std::max(size, std::abs(value));
  return size;
}

TEST(Int8Page, ReadsBackWithinHalfAStepOfEachTokensOwnScale) {
  std::mt19937_64 random(testing_support::seed());
  for (int trial = 0; trial < 100; ++trial) {
    const auto head_dim = static_cast<int64_t>(1 + random() % 130);
    const KvPageLayout layout{.format = KvFormat::int8, .head_dim = head_dim};
    Tokens tokens(kPageTokens, head_dim, head_dim, random());
    const float size = std::ldexp(1.0f, static_cast<int>(random() % 60) - 30);
    for (float& x : tokens.keys) x *= size;
    Page page = garbage(layout);
    store_tokens(layout,
                 page,
                 0,
                 {.keys = tokens.keys,
                  .values = tokens.values,
                  .token_stride = head_dim,
                  .count = kPageTokens});
    std::vector<float> key(static_cast<size_t>(head_dim));
    std::vector<float> value(key);
    for (int64_t slot = 0; slot < kPageTokens; ++slot) {
      load_token(layout, page, slot, key, value);
      // Half a step of a scale that was rounded up to 8 bits.
      const float key_step = largest(tokens.key(slot)) / 127.0f * (1 + 0x1p-7f);
      const float value_step = largest(tokens.value(slot)) / 127.0f * (1 + 0x1p-7f);
      for (size_t c = 0; c < key.size(); ++c) {
        ASSERT_NEAR(key[c], tokens.key(slot)[c], key_step * 0.5001f);
        ASSERT_NEAR(value[c], tokens.value(slot)[c], value_step * 0.5001f);
      }
    }
  }
}

TEST(Fp8Page, ReadsBackWithinASixteenthOfEachChannel) {
  std::mt19937_64 random(testing_support::seed());
  for (int trial = 0; trial < 50; ++trial) {
    const auto head_dim = static_cast<int64_t>(1 + random() % 130);
    const KvPageLayout layout{.format = KvFormat::fp8, .head_dim = head_dim};
    Tokens token(1, head_dim, head_dim, random());
    for (float& x : token.keys) x = std::ldexp(x, static_cast<int>(random() % 25) - 12);
    Page page = garbage(layout);
    store_token(layout, page, 0, token.key(0), token.value(0));
    std::vector<float> key(static_cast<size_t>(head_dim));
    std::vector<float> value(key);
    load_token(layout, page, 0, key, value);
    for (const auto& [read, stored] : {std::pair(std::span<const float>(key), token.key(0)),
                                       std::pair(std::span<const float>(value), token.value(0))}) {
      for (size_t c = 0; c < read.size(); ++c) {
        ASSERT_NEAR(read[c], stored[c], std::abs(stored[c]) / 16 + largest(stored) * 0x1p-15f);
      }
    }
  }
}

/// Mean squared error of a channel of standard normal tokens, and of their products with standard
/// normal queries, over the channels.
struct Distortion {
  double of_keys = 0;
  double of_values = 0;
  double of_products = 0;
};

Distortion distortion(KvFormat format, int64_t head_dim, uint64_t seed) {
  constexpr int64_t kTokens = 1024;
  const KvPageLayout layout{.format = format, .head_dim = head_dim};
  const Tokens tokens(kTokens, head_dim, head_dim, seed);
  const Tokens queries(kTokens, head_dim, head_dim, seed + 1);
  Page page = garbage(layout);
  std::vector<float> key(static_cast<size_t>(head_dim));
  std::vector<float> value(key);
  Distortion sum;
  for (int64_t i = 0; i < kTokens; ++i) {
    store_token(layout, page, i % kPageTokens, tokens.key(i), tokens.value(i));
    load_token(layout, page, i % kPageTokens, key, value);
    double product = 0;
    for (size_t c = 0; c < key.size(); ++c) {
      const double error = static_cast<double>(key[c]) - tokens.key(i)[c];
      sum.of_keys += error * error;
      sum.of_values += std::pow(static_cast<double>(value[c]) - tokens.value(i)[c], 2);
      product += error * queries.key(i)[c];
    }
    sum.of_products += product * product;
  }
  const auto channels = static_cast<double>(kTokens * head_dim);
  return {sum.of_keys / channels, sum.of_values / channels, sum.of_products / channels};
}

TEST(GridPages, DistortAsTheGridsPredict) {
  struct Expected {
    KvFormat format;
    double error;
  };
  // Of optimal points for a normal variable (Max 1960) and for pairs (HIGGS).
  const std::vector<Expected> grids{{KvFormat::int4, 0.01154},
                                    {KvFormat::lloyd4, 0.00950},
                                    {KvFormat::higgs4, 0.0078},
                                    {KvFormat::higgs3, 0.0296},
                                    {KvFormat::higgs2, 0.1080}};
  for (const auto& [format, error] : grids) {
    for (const int64_t head_dim : {64, 80, 128}) {
      SCOPED_TRACE(std::string(kv_format_name(format)) + " " + std::to_string(head_dim));
      const Distortion found = distortion(format, head_dim, testing_support::seed());
      // The scale that fits a head best spares a part of it in small heads, and so do channels
      // that padding leaves alone in their pairs.
      EXPECT_GT(found.of_keys, 0.88 * error);
      EXPECT_LT(found.of_keys, 1.02 * error);
      EXPECT_GT(found.of_values, 0.88 * error);
      EXPECT_LT(found.of_values, 1.02 * error);
      EXPECT_NEAR(found.of_products, error, 0.15 * error);
    }
  }
}

TEST(GridPages, SpreadOutliersAndTakeAnyScale) {
  for (const KvFormat format : {KvFormat::int4, KvFormat::lloyd4, KvFormat::higgs4}) {
    for (const int64_t head_dim : {1, 2, 3, 8, 20, 64, 80, 96, 128, 192}) {
      const KvPageLayout layout{.format = format, .head_dim = head_dim};
      Tokens token(1, head_dim, head_dim, testing_support::seed());
      for (float& x : token.keys) x *= 1e30f;
      for (float& x : token.values) x *= 1e-30f;
      token.keys[0] *= 30.0f;
      Page page = garbage(layout);
      store_token(layout, page, 31, token.key(0), token.value(0));
      std::vector<float> key(static_cast<size_t>(head_dim));
      std::vector<float> value(key);
      load_token(layout, page, 31, key, value);
      for (const auto& [read, stored] :
           {std::pair(std::span<const float>(key), token.key(0)),
            std::pair(std::span<const float>(value), token.value(0))}) {
        double error = 0;
        double size = 0;
        for (size_t c = 0; c < read.size(); ++c) {
          error += std::pow(static_cast<double>(read[c]) - stored[c], 2);
          size += std::pow(static_cast<double>(stored[c]), 2);
        }
        EXPECT_LT(error, 0.1 * size) << kv_format_name(format) << " " << head_dim;
      }
    }
  }
}

TEST(Rotation, IsOrthogonalSpreadsAndTurnsBack) {
  for (const int64_t head_dim : {1, 2, 3, 8, 20, 64, 80, 96, 128, 192, 256}) {
    const auto size = static_cast<size_t>(head_dim);
    std::vector<std::vector<float>> rows;
    for (size_t i = 0; i < size; ++i) {
      std::vector<float>& row = rows.emplace_back(size, 0.0f);
      row[i] = 1.0f;
      for (const Isa isa : isas_of_this_cpu()) {
        const ScopedIsa forced(isa);
        std::vector<float> again(size, 0.0f);
        again[i] = 1.0f;
        rotate_head(again.data(), head_dim);
        if (isa == Isa::generic) row = again;
        EXPECT_EQ(again, row);
        turn_head_back(again.data(), head_dim);
        for (size_t c = 0; c < size; ++c) ASSERT_NEAR(again[c], c == i ? 1.0f : 0.0f, 1e-5f);
      }
      // Of a window's channels each gets an equal share; where two overlap, nearly so.
      EXPECT_LE(largest(row), head_dim < 20 ? 1.0f : 4.0f / std::sqrt(static_cast<float>(size)));
    }
    for (size_t i = 0; i < size; ++i) {
      for (size_t j = 0; j <= i; ++j) {
        double product = 0;
        for (size_t c = 0; c < size; ++c) product += static_cast<double>(rows[i][c]) * rows[j][c];
        ASSERT_NEAR(product, i == j ? 1.0 : 0.0, 1e-5);
      }
    }
  }
}

class CodedPage : public KvPage {};

INSTANTIATE_TEST_SUITE_P(Formats,
                         CodedPage,
                         testing::ValuesIn(kv_formats().begin() + 2, kv_formats().end()),
                         kFormatName);

TEST_P(CodedPage, KeepsZerosAndShowsWhatIsNotFinite) {
  const KvPageLayout layout = this->layout(3);
  Page page = garbage(layout);
  const std::vector<float> zeros(3, 0.0f);
  const std::vector<float> tiny(3, 1e-40f);
  const float infinity = std::numeric_limits<float>::infinity();
  const std::vector<float> odd{1.0f, infinity, 2.0f};
  std::vector<float> key(3);
  std::vector<float> value(3);
  store_token(layout, page, 0, zeros, tiny);
  load_token(layout, page, 0, key, value);
  EXPECT_EQ(key, zeros);
  EXPECT_EQ(value, zeros);
  store_token(layout, page, 1, odd, zeros);
  load_token(layout, page, 1, key, value);
  for (const float x : key) EXPECT_TRUE(std::isnan(x));
  EXPECT_EQ(value, zeros);
}

}  // namespace
}  // namespace dms::kernels
