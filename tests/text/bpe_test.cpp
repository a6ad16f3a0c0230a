// The two ways of merging against the definition, on random vocabularies.

#include "text/bpe.h"

#include <algorithm>
#include <random>
#include <tuple>

#include <gtest/gtest.h>

#include "support/seed.h"

namespace dms::text {
namespace {

struct Model {
  Vocabulary vocabulary;
  std::vector<Merge> merges;
};

// Random merges over the letters a to d, each of two tokens that exist by then.
Model random_model(std::mt19937_64& random) {
  Model model;
  std::vector<std::string> tokens = {"a", "b", "c", "d"};
  while (tokens.size() < 40) {
    const std::string left = tokens[random() % tokens.size()];
    const std::string right = tokens[random() % tokens.size()];
    if (left.size() + right.size() > 12) continue;
    model.merges.push_back({left, right});
    if (std::find(tokens.begin(), tokens.end(), left + right) == tokens.end()) {
      tokens.push_back(left + right);
    }
  }
  std::shuffle(model.merges.begin(), model.merges.end(), random);
  for (size_t id = 0; id < tokens.size(); ++id) {
    model.vocabulary.add(tokens[id], static_cast<int32_t>(id), "test");
  }
  return model;
}

// The definition: the pair of lowest rank, leftmost first, until none is left. Of a pair that is
// listed twice the last rank counts.
std::vector<int32_t> merged_by_definition(const Model& model, const std::string& text) {
  std::vector<std::string> symbols;
  for (const char c : text) symbols.emplace_back(1, c);
  const auto rank_of = [&](size_t i) {
    for (size_t rank = model.merges.size(); rank-- > 0;) {
      const Merge& merge = model.merges[rank];
      if (merge.left == symbols[i] && merge.right == symbols[i + 1]) return rank;
    }
    return SIZE_MAX;
  };
  while (true) {
    size_t best = SIZE_MAX;
    size_t best_at = 0;
    for (size_t i = 0; i + 1 < symbols.size(); ++i) {
      if (const size_t rank = rank_of(i); rank < best)
        std::tie(best, best_at) = std::tuple(rank, i);
    }
    if (best == SIZE_MAX) break;
    symbols[best_at] += symbols[best_at + 1];
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(best_at + 1));
  }
  std::vector<int32_t> ids;
  for (const std::string& symbol : symbols) ids.push_back(*model.vocabulary.find(symbol));
  return ids;
}

TEST(Bpe, MergesByRankThenFromTheLeft) {
  const uint64_t seed = dms::testing_support::seed();
  std::mt19937_64 random(seed);
  for (int trial = 0; trial < 200; ++trial) {
    const Model model = random_model(random);
    const Bpe bpe(model.vocabulary, {}, model.merges, "test");
    Bpe::Workspace workspace;
    for (int text_index = 0; text_index < 5; ++text_index) {
      std::string text(1 + random() % 150, 'a');
      for (char& c : text) c = static_cast<char>('a' + random() % 4);
      std::vector<int32_t> ids;
      bpe.encode(text, Bpe::Alphabet::characters, workspace, ids);
      ASSERT_EQ(ids, merged_by_definition(model, text)) << "DMS_TEST_SEED=" << seed << " " << text;
    }
  }
}

TEST(WordCache, ForgetsRatherThanGrows) {
  WordCache cache;
  for (int32_t i = 0; i < 200'000; ++i) {
    const std::string word = "word" + std::to_string(i);
    const uint64_t hash = WordCache::hash(word);
    cache.insert(word, hash, std::vector<int32_t>{i, i + 1});
    const auto ids = cache.find(word, hash);
    ASSERT_EQ(std::vector<int32_t>(ids.begin(), ids.end()), (std::vector<int32_t>{i, i + 1}));
  }
  EXPECT_EQ(cache.find("word0", WordCache::hash("word0")).data(), nullptr);
}

}  // namespace
}  // namespace dms::text
