#include "train/data/packing.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "support/seed.h"
#include "support/shapes.h"
#include "train/data/fixture.h"
#include "train/data/sample_index.h"
#include "train/data/stage_cache.h"

namespace dms::train::data {
namespace {

using Tokens = std::vector<int32_t>;

struct Packed {
  std::vector<Tokens> samples;
  int64_t tokens_cut = 0;
  int64_t tokens_left = 0;
};

/// The rule by lists of tokens instead of positions: fill a context, cut it, decide what begins the
/// next one.
Packed pack_plainly(const std::vector<Tokens>& documents, size_t max_length, PackRule rule) {
  Packed packed;
  Tokens context;
  for (const Tokens& document : documents) {
    context.insert(context.end(), document.begin(), document.end());
    while (context.size() >= max_length) {
      const auto edge = context.begin() + static_cast<std::ptrdiff_t>(max_length);
      packed.samples.emplace_back(context.begin(), edge);
      Tokens overflow(edge, context.end());
      if (rule == PackRule::cut) {
        packed.tokens_cut += std::ssize(overflow);
        overflow.clear();
      } else if (rule == PackRule::whole && !overflow.empty()) {
        overflow = document;
      }
      context = std::move(overflow);
    }
  }
  packed.tokens_left = std::ssize(context);
  return packed;
}

struct Corpus {
  std::vector<Tokens> documents;  // in the order of `order`
  std::vector<int64_t> order;
  std::vector<int64_t> offsets{0};
  Tokens all;
};

/// Every token has a number of its own.
Corpus random_corpus(int64_t count, int64_t longest, std::mt19937_64& random) {
  Corpus corpus;
  std::uniform_int_distribution<int64_t> length(1, longest);
  std::vector<Tokens> stored;
  for (int64_t i = 0; i < count; ++i) {
    Tokens document(static_cast<size_t>(length(random)));
    std::iota(document.begin(), document.end(), static_cast<int32_t>(corpus.all.size()));
    corpus.all.insert(corpus.all.end(), document.begin(), document.end());
    corpus.offsets.push_back(std::ssize(corpus.all));
    stored.push_back(std::move(document));
  }
  corpus.order.resize(static_cast<size_t>(count));
  std::iota(corpus.order.begin(), corpus.order.end(), int64_t{0});
  std::ranges::shuffle(corpus.order, random);
  for (const int64_t i : corpus.order) {
    corpus.documents.push_back(stored[static_cast<size_t>(i)]);
  }
  return corpus;
}

Tokens tokens_of(const Corpus& corpus, SampleStart start, int64_t max_length) {
  Tokens tokens;
  auto skip = static_cast<std::ptrdiff_t>(start.skip);
  for (auto position = static_cast<size_t>(start.position); std::ssize(tokens) < max_length;
       ++position) {
    const Tokens& document = corpus.documents.at(position);
    tokens.insert(tokens.end(), document.begin() + skip, document.end());
    skip = 0;
  }
  tokens.resize(static_cast<size_t>(max_length));
  return tokens;
}

class Packs : public ::testing::TestWithParam<PackRule> {};

TEST_P(Packs, AsThePlainRuleDoes) {
  std::mt19937_64 random(testing_support::seed());
  for (int64_t trial = 0; trial < testing_support::trials(300); ++trial) {
    const int64_t max_length = std::uniform_int_distribution<int64_t>(2, 40)(random);
    const int64_t longest = GetParam() == PackRule::whole ? max_length : 100;
    const int64_t count = std::uniform_int_distribution<int64_t>(0, 30)(random);
    const Corpus corpus = random_corpus(count, longest, random);
    const Packing packing = pack(corpus.order, corpus.offsets, max_length, GetParam());
    const Packed expected =
        pack_plainly(corpus.documents, static_cast<size_t>(max_length), GetParam());
    SCOPED_TRACE(testing::Message() << "DMS_TEST_SEED " << testing_support::seed() << " trial "
                                    << trial << " length " << max_length);
    ASSERT_EQ(packing.starts.size(), expected.samples.size());
    EXPECT_EQ(packing.tokens_cut, expected.tokens_cut);
    EXPECT_EQ(packing.tokens_left, expected.tokens_left);
    for (size_t i = 0; i < packing.starts.size(); ++i) {
      ASSERT_EQ(tokens_of(corpus, packing.starts[i], max_length), expected.samples[i]);
    }
  }
}

constexpr std::array<const char*, 3> kRuleNames{"Cut", "Carry", "Whole"};

INSTANTIATE_TEST_SUITE_P(Rules,
                         Packs,
                         ::testing::Values(PackRule::cut, PackRule::carry, PackRule::whole),
                         [](const auto& item) {
                           return kRuleNames[static_cast<size_t>(item.param)];
                         });

// By hand, from the recipe: documents of 3, 9 and 4 tokens in contexts of 5.
TEST(Pack, FollowsTheRecipesExamples) {
  const std::vector<int64_t> order{0, 1, 2};
  const std::vector<int64_t> offsets{0, 3, 12, 16};
  const Packing cut = pack(order, offsets, 5, PackRule::cut);
  ASSERT_EQ(cut.starts.size(), 1u);  // 3 + 2 of 9; 7 cut; 4 are too few
  EXPECT_EQ(cut.tokens_cut, 7);
  EXPECT_EQ(cut.tokens_left, 4);
  const Packing carry = pack(order, offsets, 5, PackRule::carry);
  ASSERT_EQ(carry.starts.size(), 3u);  // 3 + 2, 5, 2 + 3; 1 left
  EXPECT_EQ(carry.starts[1].position, 1);
  EXPECT_EQ(carry.starts[1].skip, 2);
  EXPECT_EQ(carry.starts[2].skip, 7);
  EXPECT_EQ(carry.tokens_left, 1);
}

TEST(Pack, WholeDocumentsAreAllSeenWhole) {
  std::mt19937_64 random(testing_support::seed() + 1);
  const Corpus corpus = random_corpus(200, 20, random);
  const Packing packing = pack(corpus.order, corpus.offsets, 20, PackRule::whole);
  std::vector<Tokens> samples;
  for (const SampleStart start : packing.starts) samples.push_back(tokens_of(corpus, start, 20));
  int64_t missing = 0;
  for (const Tokens& document : corpus.documents) {
    const bool is_seen = std::ranges::any_of(samples, [&](const Tokens& sample) {
      return !std::ranges::search(sample, document).empty();
    });
    missing += is_seen ? 0 : std::ssize(document);
  }
  EXPECT_LE(missing, packing.tokens_left) << "only the incomplete last context may be missing";
  EXPECT_LT(packing.tokens_left, 20);
}

class StoredSamples : public ::testing::Test {
 protected:
  /// The documents of `corpus` as a store with every third token not counted.
  std::shared_ptr<const TokenStore> store_of(const Corpus& corpus) const {
    TokenWriter writer(folder_.path(), 100'000);
    for (size_t i = 0; i + 1 < corpus.offsets.size(); ++i) {
      Document document;
      for (int64_t at = corpus.offsets[i]; at < corpus.offsets[i + 1]; ++at) {
        document.ids.push_back(static_cast<int32_t>(at));
        document.loss.push_back(at % 3 != 0 ? 1 : 0);
      }
      writer.append(document);
    }
    return std::make_shared<TokenStore>(folder_.path(), writer.finish());
  }

  train::fixture::TempFolder folder_;
};

TEST_F(StoredSamples, HoldEveryTokenOnceWhenCarried) {
  std::mt19937_64 random(testing_support::seed() + 2);
  const Corpus corpus = random_corpus(50, 60, random);
  const auto store = store_of(corpus);
  const PackSettings settings{.shuffle_seed = 5, .max_length = 7, .rule = PackRule::carry};
  const Json description = write_sample_index(folder_.path(), *store, settings);
  const SampleIndex index(folder_.path(), description, store, 7);
  ASSERT_EQ(index.samples(), std::ssize(corpus.all) / 7);
  std::vector<int32_t> seen;
  for (int64_t i = 0; i < index.samples(); ++i) {
    const Sample sample = index.sample(i);
    ASSERT_EQ(sample.ids.size(), 7u);
    for (size_t t = 0; t < 7; ++t) EXPECT_EQ(sample.loss[t], sample.ids[t] % 3 != 0 ? 1 : 0);
    seen.insert(seen.end(), sample.ids.begin(), sample.ids.end());
  }
  EXPECT_FALSE(std::ranges::is_sorted(seen)) << "the order is shuffled";
  std::ranges::sort(seen);
  EXPECT_EQ(std::ranges::adjacent_find(seen), seen.end());
}

TEST_F(StoredSamples, DependOnTheSeedAlone) {
  std::mt19937_64 random(testing_support::seed() + 3);
  const Corpus corpus = random_corpus(50, 30, random);
  const auto store = store_of(corpus);
  const auto first_sample = [&](uint64_t seed) {
    const PackSettings settings{.shuffle_seed = seed, .max_length = 16, .rule = PackRule::cut};
    const Json description = write_sample_index(folder_.path(), *store, settings);
    return SampleIndex(folder_.path(), description, store, 16).sample(0).ids;
  };
  EXPECT_EQ(first_sample(1), first_sample(1));
  EXPECT_NE(first_sample(1), first_sample(2));
}

}  // namespace
}  // namespace dms::train::data
