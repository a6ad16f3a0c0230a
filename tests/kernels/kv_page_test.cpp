#include "kernels/kv_page.h"

#include <cstring>

#include <gtest/gtest.h>

#include "base/dtype.h"
#include "kernels/isas.h"
#include "kernels/page_cases.h"
#include "support/seed.h"

namespace dms::kernels {
namespace {

float element(const KvPageLayout& layout, const Page& page, int64_t index) {
  if (layout.format == KvFormat::f32) {
    float value = 0;
    std::memcpy(&value, page.data() + index * 4, 4);
    return value;
  }
  BFloat16 value;
  std::memcpy(&value, page.data() + index * 2, 2);
  return to_float(value);
}

float rounded(const KvPageLayout& layout, float value) {
  return layout.format == KvFormat::f32 ? value : to_float(to_bf16(value));
}

class FloatPage : public KvPage {};

INSTANTIATE_TEST_SUITE_P(Formats,
                         KvPage,
                         testing::ValuesIn(kv_formats().begin(), kv_formats().end()),
                         kFormatName);
INSTANTIATE_TEST_SUITE_P(Formats,
                         FloatPage,
                         testing::Values(KvFormat::f32, KvFormat::bf16),
                         kFormatName);

TEST(KvFormats, HaveNamesThatAreRead) {
  for (const KvFormat format : kv_formats()) {
    EXPECT_EQ(parse_kv_format(kv_format_name(format)), format);
  }
  EXPECT_EQ(parse_kv_format("int7"), std::nullopt);
}

TEST(KvFormats, OfPagesNameTheirSides) {
  const PageFormat window(KvFormat::bf16);
  for (const KvFormat keys : kv_formats()) {
    for (const KvFormat values : kv_formats()) {
      const PageFormat format(keys, values);
      const bool is_possible = (keys == KvFormat::f32) == (values == KvFormat::f32);
      const auto expected = is_possible ? std::optional(format) : std::nullopt;
      EXPECT_EQ(parse_page_format(page_format_name(format), window), expected);
    }
  }
  EXPECT_EQ(page_format_name(KvFormat::higgs3), "higgs3");
  EXPECT_EQ(page_format_name({KvFormat::int8, KvFormat::lloyd4}), "k=int8,v=lloyd4");
  EXPECT_EQ(parse_page_format("v=fp8,k=int4", window), PageFormat(KvFormat::int4, KvFormat::fp8));
  EXPECT_EQ(parse_page_format("v=fp8", window), PageFormat(KvFormat::bf16, KvFormat::fp8));
  for (const char* text : {"",
                           "k=",
                           "k=int8,",
                           "k=int8,k=int8",
                           "int8,v=int8",
                           "v=int8,w=int8",
                           "k=int8,v=int8,",
                           "k=int8,v=int8,k=int8",
                           "k=int9",
                           "K=int8"}) {
    EXPECT_EQ(parse_page_format(text, window), std::nullopt) << text;
  }
  EXPECT_EQ(parse_page_format("v=fp8", KvFormat::f32), std::nullopt);
}

TEST(KvFormats, TakeThePageBytesTheHeaderSays) {
  EXPECT_EQ((KvPageLayout{.format = KvFormat::f32, .head_dim = 64}.bytes()), 2 * 32 * 64 * 4);
  EXPECT_EQ((KvPageLayout{.format = KvFormat::bf16, .head_dim = 33}.bytes()), 2 * 32 * 48 * 2);
  EXPECT_EQ((KvPageLayout{.format = KvFormat::int8, .head_dim = 64}.bytes()), 2 * 32 * (64 + 2));
  EXPECT_EQ((KvPageLayout{.format = KvFormat::lloyd4, .head_dim = 80}.bytes()), 2 * 32 * (40 + 2));
  EXPECT_EQ((KvPageLayout{.format = KvFormat::higgs3, .head_dim = 80}.bytes()), 2 * 32 * (36 + 2));
  const PageFormat mixed(KvFormat::int8, KvFormat::higgs2);
  EXPECT_EQ((KvPageLayout{.format = mixed, .head_dim = 64}.bytes()), 32 * (64 + 2) + 32 * (16 + 2));
}

TEST_P(FloatPage, LaysTokensOutAsTheHeaderSays) {
  const int64_t pack = GetParam() == KvFormat::f32 ? 1 : 2;
  for (const int64_t head_dim : {1, 15, 16, 33, 64}) {
    const KvPageLayout layout = this->layout(head_dim);
    const int64_t padded = layout.head_dim_padded();
    const Tokens tokens(2, head_dim, head_dim, testing_support::seed());
    Page page = garbage(layout);
    store_token(layout, page, 0, tokens.key(0), tokens.value(0));
    store_token(layout, page, 19, tokens.key(1), tokens.value(1));
    for (int64_t slot = 0; slot < kPageTokens; ++slot) {
      for (int64_t c = 0; c < padded; ++c) {
        const bool is_stored = (slot == 0 || slot == 19) && c < head_dim;
        const int64_t token = slot == 19 ? 1 : 0;
        const auto channel = static_cast<size_t>(c);
        const float key = is_stored ? tokens.key(token)[channel] : 0.0f;
        const float value = is_stored ? tokens.value(token)[channel] : 0.0f;
        const int64_t key_at = (c / pack * kPageTokens + slot) * pack + c % pack;
        const int64_t value_at =
            kPageTokens * padded + (slot / pack * padded + c) * pack + slot % pack;
        ASSERT_EQ(element(layout, page, key_at), rounded(layout, key)) << slot << " " << c;
        ASSERT_EQ(element(layout, page, value_at), rounded(layout, value)) << slot << " " << c;
      }
    }
  }
}

TEST_P(FloatPage, ReadsBackWhatWasStored) {
  for (const int64_t head_dim : {1, 2, 17, 80, 128}) {
    const KvPageLayout layout = this->layout(head_dim);
    const Tokens tokens(kPageTokens, head_dim, head_dim, testing_support::seed());
    Page page = garbage(layout);
    for (int64_t slot = 0; slot < kPageTokens; ++slot) {
      store_token(layout, page, slot, tokens.key(slot), tokens.value(slot));
    }
    std::vector<float> key(static_cast<size_t>(head_dim));
    std::vector<float> value(key);
    for (int64_t slot = 0; slot < kPageTokens; ++slot) {
      load_token(layout, page, slot, key, value);
      for (size_t c = 0; c < key.size(); ++c) {
        ASSERT_EQ(key[c], rounded(layout, tokens.key(slot)[c]));
        ASSERT_EQ(value[c], rounded(layout, tokens.value(slot)[c]));
      }
    }
  }
}

TEST_P(KvPage, StoresManyTokensAsOneByOneOnEveryIsa) {
  const uint64_t seed = testing_support::seed();
  std::mt19937_64 random(seed);
  for (int trial = 0; trial < 200; ++trial) {
    const auto head_dim = static_cast<int64_t>(1 + random() % 130);
    const auto first = static_cast<int64_t>(random() % kPageTokens);
    const auto count = static_cast<int64_t>(1 + random() % static_cast<uint64_t>(32 - first));
    const auto stride = head_dim + static_cast<int64_t>(random() % 9);
    const KvPageLayout layout = this->layout(head_dim);
    const Tokens tokens(count, head_dim, stride, random());
    Page expected = garbage(layout);
    {
      const ScopedIsa forced(Isa::generic);
      for (int64_t i = 0; i < count; ++i) {
        store_token(layout, expected, first + i, tokens.key(i), tokens.value(i));
      }
    }
    for (const Isa isa : isas_of_this_cpu()) {
      const ScopedIsa forced(isa);
      Page page = garbage(layout);
      store_tokens(
          layout,
          page,
          first,
          {.keys = tokens.keys, .values = tokens.values, .token_stride = stride, .count = count});
      ASSERT_TRUE(page == expected) << isa_name(isa) << " head_dim " << head_dim << " slots "
                                    << first << "+" << count << " seed " << seed;
    }
  }
}

TEST_P(KvPage, CopiesATokenAndNothingElse) {
  const KvPageLayout layout = this->layout(37);
  const Tokens tokens(kPageTokens, 37, 37, testing_support::seed());
  Page from = garbage(layout);
  Page to = garbage(layout);
  Page expected = garbage(layout);
  for (int64_t slot = 0; slot < kPageTokens; ++slot) {
    store_token(layout, from, slot, tokens.key(slot), tokens.value(slot));
  }
  const std::vector<std::pair<int64_t, int64_t>> copies{{7, 0}, {0, 1}, {31, 2}, {8, 31}, {3, 2}};
  for (const auto& [source, target] : copies) {
    copy_token(layout, from, source, to, target);
    store_token(layout, expected, target, tokens.key(source), tokens.value(source));
    ASSERT_TRUE(to == expected) << source << " -> " << target;
  }
}

TEST_P(KvPage, OverwritesATokenAndNothingElse) {
  const KvPageLayout layout = this->layout(21);
  const Tokens tokens(kPageTokens, 21, 21, testing_support::seed());
  const auto filled = [&](int64_t moved_to, int64_t moved_from) {
    Page page = garbage(layout);
    for (int64_t slot = 0; slot < kPageTokens; ++slot) {
      const int64_t token = slot == moved_to ? moved_from : slot;
      store_token(layout, page, slot, tokens.key(token), tokens.value(token));
    }
    return page;
  };
  for (const auto& [from, to] : std::vector<std::pair<int64_t, int64_t>>{{31, 0}, {5, 6}, {9, 9}}) {
    Page page = filled(0, 0);
    overwrite_token(layout, page, from, page, to);
    EXPECT_TRUE(page == filled(to, from)) << from << " -> " << to;
  }
}

TEST_P(KvPage, RefusesWhatDoesNotFit) {
  const KvPageLayout layout = this->layout(16);
  const Tokens tokens(2, 16, 16, testing_support::seed());
  Page page = garbage(layout);
  EXPECT_THROW(store_token(layout, page, 32, tokens.key(0), tokens.value(0)), std::logic_error);
  EXPECT_THROW(store_token(layout, page, 0, tokens.key(0).first(15), tokens.value(0)),
               std::logic_error);
  page.pop_back();
  EXPECT_THROW(store_token(layout, page, 0, tokens.key(0), tokens.value(0)), std::logic_error);
}

}  // namespace
}  // namespace dms::kernels
