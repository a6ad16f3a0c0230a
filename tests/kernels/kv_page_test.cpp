#include "kernels/kv_page.h"

#include <cstring>

#include <gtest/gtest.h>

#include "kernels/attention_cases.h"

namespace dms::kernels {
namespace {

struct Tokens {
  Tokens(int64_t count, int64_t head_dim, int64_t stride, uint64_t seed)
      : keys(static_cast<size_t>(count * stride)), values(keys), stride_(stride), dim_(head_dim) {
    std::mt19937_64 random(seed);
    std::normal_distribution<float> normal;
    for (float& x : keys) x = normal(random);
    for (float& x : values) x = normal(random);
  }

  std::span<const float> key(int64_t token) const { return row(keys, token); }
  std::span<const float> value(int64_t token) const { return row(values, token); }

  std::vector<float> keys;
  std::vector<float> values;

 private:
  std::span<const float> row(const std::vector<float>& all, int64_t token) const {
    return std::span(all).subspan(static_cast<size_t>(token * stride_), static_cast<size_t>(dim_));
  }

  int64_t stride_;
  int64_t dim_;
};

using Page = std::vector<std::byte>;

Page garbage(const KvPageLayout& layout) {
  return Page(static_cast<size_t>(layout.bytes()), std::byte{0xff});
}

float element(const KvPageLayout& layout, const Page& page, int64_t index) {
  if (layout.type == DType::f32) {
    float value = 0;
    std::memcpy(&value, page.data() + index * 4, 4);
    return value;
  }
  BFloat16 value;
  std::memcpy(&value, page.data() + index * 2, 2);
  return to_float(value);
}

float rounded(const KvPageLayout& layout, float value) {
  return layout.type == DType::f32 ? value : to_float(to_bf16(value));
}

class KvPage : public testing::TestWithParam<DType> {
 protected:
  KvPageLayout layout(int64_t head_dim) const { return {.type = GetParam(), .head_dim = head_dim}; }
};

INSTANTIATE_TEST_SUITE_P(Types,
                         KvPage,
                         testing::Values(DType::f32, DType::bf16),
                         [](const auto& type) { return std::string(dtype_name(type.param)); });

TEST_P(KvPage, LaysTokensOutAsTheHeaderSays) {
  const int64_t pack = GetParam() == DType::f32 ? 1 : 2;
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

TEST_P(KvPage, ReadsBackWhatWasStored) {
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
