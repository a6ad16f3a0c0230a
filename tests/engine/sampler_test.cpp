#include "engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <map>
#include <numeric>
#include <random>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dms/error.h"

namespace dms::engine {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

uint64_t test_seed() {
  const char* seed = std::getenv("DMS_TEST_SEED");
  return seed == nullptr ? 20260101 : std::strtoull(seed, nullptr, 10);
}

struct History {
  std::vector<int32_t> prompt;
  std::vector<int32_t> generated;
};

std::vector<double> softmax(const std::vector<double>& logits) {
  const double best = *std::max_element(logits.begin(), logits.end());
  std::vector<double> p(logits.size());
  for (size_t i = 0; i < p.size(); ++i) p[i] = std::exp(logits[i] - best);
  const double sum = std::accumulate(p.begin(), p.end(), 0.0);
  for (double& x : p) x /= sum;
  return p;
}

std::vector<double> penalised(const std::vector<float>& raw,
                              const SamplingParams& params,
                              const History& history) {
  std::vector<double> logits(raw.begin(), raw.end());
  std::set<int32_t> seen(history.prompt.begin(), history.prompt.end());
  seen.insert(history.generated.begin(), history.generated.end());
  for (const int32_t token : seen) {
    double& x = logits[static_cast<size_t>(token)];
    x = x > 0 ? x / params.repetition_penalty : x * params.repetition_penalty;
  }
  std::map<int32_t, int> counts;
  for (const int32_t token : history.generated) ++counts[token];
  for (const auto& [token, count] : counts) {
    logits[static_cast<size_t>(token)] -=
        params.presence_penalty + params.frequency_penalty * count;
  }
  return logits;
}

/// Every step of the definition with a full sort and doubles: the probability of each token.
std::vector<double> reference(const std::vector<float>& raw,
                              const SamplingParams& params,
                              const History& history) {
  std::vector<double> logits = penalised(raw, params, history);
  for (double& x : logits) x /= params.temperature;
  std::vector<size_t> order(logits.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(
      order.begin(), order.end(), [&](size_t a, size_t b) { return logits[a] > logits[b]; });
  if (params.top_k > 0 && static_cast<size_t>(params.top_k) < logits.size()) {
    const double kth = logits[order[static_cast<size_t>(params.top_k) - 1]];
    for (double& x : logits) x = x < kth ? -INFINITY : x;
  }
  std::vector<double> p = softmax(logits);
  double before = 0;
  for (size_t rank = 0; rank < order.size(); ++rank) {
    const double own = p[order[rank]];
    if (rank > 0 && before >= params.top_p && params.top_p < 1) logits[order[rank]] = -INFINITY;
    before += own;
  }
  p = softmax(logits);
  const double best = *std::max_element(p.begin(), p.end());
  for (double& x : p) x = x < params.min_p * best ? 0 : x;
  const double sum = std::accumulate(p.begin(), p.end(), 0.0);
  for (double& x : p) x /= sum;
  return p;
}

std::vector<float> random_logits(std::mt19937_64& random, size_t vocab) {
  std::normal_distribution<float> normal(0, 2);
  std::vector<float> logits(vocab);
  for (float& x : logits) x = normal(random);
  return logits;
}

/// Pearson's statistic of `draws` samples; tokens of probability zero must not appear at all.
/// Tokens expected less than five times are counted together: alone they would have the tail of no
/// chi square.
double chi_square(const std::vector<int>& counts, const std::vector<double>& p, int draws) {
  constexpr double kRare = 5;
  double statistic = 0;
  double rare_count = 0;
  double rare_expected = 0;
  const auto term = [](double count, double expected) {
    return (count - expected) * (count - expected) / expected;
  };
  for (size_t i = 0; i < p.size(); ++i) {
    if (p[i] == 0) {
      EXPECT_EQ(counts[i], 0) << "token " << i << " was excluded";
      continue;
    }
    const double expected = p[i] * draws;
    if (expected >= kRare) {
      statistic += term(counts[i], expected);
    } else {
      rare_count += counts[i];
      rare_expected += expected;
    }
  }
  return rare_expected < 1 ? statistic : statistic + term(rare_count, rare_expected);
}

std::vector<int> draw_counts(Sampler& sampler, const std::vector<float>& logits, int draws) {
  std::vector<int> counts(logits.size());
  for (int i = 0; i < draws; ++i) {
    std::vector<float> copy = logits;
    ++counts[static_cast<size_t>(sampler.sample(copy))];
  }
  return counts;
}

struct Case {
  std::string name;
  SamplingParams params;
};

class SamplerDistribution : public testing::TestWithParam<Case> {};

TEST_P(SamplerDistribution, EqualsThePlainDefinition) {
  const uint64_t seed = test_seed();
  std::mt19937_64 random(seed);
  for (int trial = 0; trial < 10; ++trial) {
    const std::vector<float> logits = random_logits(random, 24);
    const History history{.prompt = {1, 2, 3}, .generated = {2, 5, 5, 7}};
    SamplingParams params = GetParam().params;
    params.seed = random();
    Sampler sampler(params);
    sampler.see_prompt(history.prompt);
    for (const int32_t token : history.generated) sampler.accept(token);
    constexpr int kDraws = 4000;
    const std::vector<double> p = reference(logits, params, history);
    const double statistic = chi_square(draw_counts(sampler, logits, kDraws), p, kDraws);
    // 23 degrees of freedom at most: 75 has a probability below 1e-6.
    EXPECT_LT(statistic, 75) << "seed " << seed << ", trial " << trial;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Options,
    SamplerDistribution,
    testing::Values(Case{"temperature", {.temperature = 1.0}},
                    Case{"cool", {.temperature = 0.6}},
                    Case{"hot", {.temperature = 1.7}},
                    Case{"top_k", {.temperature = 1.0, .top_k = 5}},
                    Case{"top_p", {.temperature = 1.0, .top_p = 0.8}},
                    Case{"min_p", {.temperature = 1.0, .min_p = 0.1}},
                    Case{"repetition", {.temperature = 1.0, .repetition_penalty = 1.3}},
                    Case{"presence",
                         {.temperature = 1.0, .presence_penalty = 1.0, .frequency_penalty = 0.7}},
                    Case{"all",
                         {.temperature = 0.9,
                          .top_k = 12,
                          .top_p = 0.9,
                          .min_p = 0.05,
                          .repetition_penalty = 1.2,
                          .presence_penalty = 0.3,
                          .frequency_penalty = 0.2}}),
    [](const auto& test) { return test.param.name; });

TEST(Sampler, GreedyTakesTheLowestIndexOfTies) {
  Sampler sampler(SamplingParams{});
  std::vector<float> logits{0, 3, 3, -kInf};
  EXPECT_EQ(sampler.sample(logits), 1);
}

TEST(Sampler, GreedyFollowsThePenalties) {
  Sampler sampler({.temperature = 0, .frequency_penalty = 1.5});
  sampler.accept(1);
  std::vector<float> logits{2, 3, 0};
  EXPECT_EQ(sampler.sample(logits), 0);
  EXPECT_FLOAT_EQ(logits[1], 1.5F);
}

TEST(Sampler, RepetitionPenaltyCountsThePromptAndBothSigns) {
  Sampler sampler({.temperature = 0, .repetition_penalty = 2, .presence_penalty = 1});
  sampler.see_prompt(std::vector<int32_t>{0, 1, 1});
  std::vector<float> logits{4, -4, 3};
  EXPECT_EQ(sampler.sample(logits), 2);
  EXPECT_THAT(logits, testing::ElementsAre(2, -8, 3));
}

TEST(Sampler, SameSeedGivesTheSameTokens) {
  std::mt19937_64 random(7);
  const std::vector<float> logits = random_logits(random, 1000);
  Sampler a({.temperature = 1, .top_p = 0.95, .seed = 11});
  Sampler b({.temperature = 1, .top_p = 0.95, .seed = 11});
  Sampler c({.temperature = 1, .top_p = 0.95, .seed = 12});
  std::vector<int32_t> from_a, from_b, from_c;
  for (int i = 0; i < 50; ++i) {
    for (auto [sampler, tokens] : {std::pair(&a, &from_a), {&b, &from_b}, {&c, &from_c}}) {
      std::vector<float> copy = logits;
      tokens->push_back(sampler->sample(copy));
    }
  }
  EXPECT_EQ(from_a, from_b);
  EXPECT_NE(from_a, from_c);
}

TEST(Sampler, SeedsMeanTheSameOnEveryPlatform) {
  Sampler sampler({.temperature = 1, .seed = 42});
  std::vector<int32_t> tokens;
  for (int i = 0; i < 8; ++i) {
    std::vector<float> logits(16, 0.0F);
    tokens.push_back(sampler.sample(logits));
  }
  // The top four bits of the first draws of mt19937_64 seeded with 42.
  std::mt19937_64 random(42);
  for (const int32_t token : tokens) EXPECT_EQ(token, static_cast<int32_t>(random() >> 60));
}

TEST(Sampler, KeepsTokensThatTieWithTheKth) {
  Sampler sampler({.temperature = 1, .top_k = 2, .seed = 3});
  const std::vector<int> counts = draw_counts(sampler, {1, 1, 1, 0}, 600);
  EXPECT_GT(*std::min_element(counts.begin(), counts.begin() + 3), 100);
  EXPECT_EQ(counts[3], 0);
}

TEST(Sampler, TopPKeepsTheSmallestSufficientSetOfALargeVocabulary) {
  // 1,500 equally likely tokens among 128,256: top-p 0.5 keeps the first 750 of them.
  Sampler sampler({.temperature = 1, .top_p = 0.5 - 1e-9, .seed = 5});
  std::vector<float> logits(128256, -kInf);
  for (size_t i = 0; i < 1500; ++i) logits[i * 80] = 2;
  for (int i = 0; i < 300; ++i) {
    std::vector<float> copy = logits;
    EXPECT_LT(sampler.sample(copy), 750 * 80);
  }
}

TEST(Sampler, LargeTopKSelectsTheSameSetAsASort) {
  std::mt19937_64 random(9);
  const std::vector<float> logits = random_logits(random, 5000);
  std::vector<float> sorted = logits;
  std::sort(sorted.begin(), sorted.end(), std::greater<>());
  for (const size_t k : {size_t{1}, size_t{512}, size_t{513}, size_t{2000}}) {
    Sampler sampler({.temperature = 50, .top_k = static_cast<int64_t>(k), .seed = 1});
    for (int i = 0; i < 300; ++i) {
      std::vector<float> copy = logits;
      const int32_t token = sampler.sample(copy);
      ASSERT_GE(logits[static_cast<size_t>(token)], sorted[k - 1]) << "k " << k;
    }
  }
}

TEST(Sampler, RefusesLogitsWithoutAnAnswer) {
  for (const double temperature : {0.0, 1.0}) {
    Sampler sampler({.temperature = temperature});
    std::vector<float> nan{1, NAN, 2};
    EXPECT_THROW(sampler.sample(nan), RunError);
    std::vector<float> first_nan{NAN, 1};
    EXPECT_THROW(sampler.sample(first_nan), RunError);
    std::vector<float> none{-kInf, -kInf};
    EXPECT_THROW(sampler.sample(none), RunError);
    std::vector<float> infinite{0, kInf};
    EXPECT_THROW(sampler.sample(infinite), RunError);
  }
}

TEST(Sampler, NamesTheOptionThatIsOutOfRange) {
  const auto message = [](const SamplingParams& params) -> std::string {
    try {
      Sampler sampler(params);
    } catch (const InputError& error) {
      return error.what();
    }
    return "accepted";
  };
  using testing::StartsWith;
  EXPECT_THAT(message({.max_new_tokens = -1}), StartsWith("max_new_tokens"));
  EXPECT_THAT(message({.temperature = -0.1}), StartsWith("temperature"));
  EXPECT_THAT(message({.temperature = NAN}), StartsWith("temperature"));
  EXPECT_THAT(message({.top_k = -1}), StartsWith("top_k"));
  EXPECT_THAT(message({.top_p = 1.01}), StartsWith("top_p"));
  EXPECT_THAT(message({.min_p = -0.5}), StartsWith("min_p"));
  EXPECT_THAT(message({.repetition_penalty = 0}), StartsWith("repetition_penalty"));
  EXPECT_THAT(message({.presence_penalty = INFINITY}), StartsWith("presence_penalty"));
  EXPECT_THAT(message({.frequency_penalty = NAN}), StartsWith("frequency_penalty"));
  EXPECT_EQ(message({.temperature = 0.7, .top_k = 40, .top_p = 0}), "accepted");
  const auto many = [](size_t count) { return std::vector<std::string>(count, "x"); };
  EXPECT_THAT(message({.stop = many(65)}), StartsWith("stop: too many"));
  EXPECT_THAT(message({.stop = {""}}), StartsWith("stop: empty"));
  EXPECT_THAT(message({.stop = {std::string(1025, 'x')}}),
              StartsWith("stop: stop string too long"));
  EXPECT_THAT(message({.stop_ids = std::vector<int32_t>(65)}), StartsWith("stop_ids"));
  EXPECT_THAT(message({.stop_ids = {-1}}), StartsWith("stop_ids"));
  EXPECT_EQ(message({.stop = many(64), .stop_ids = std::vector<int32_t>(64)}), "accepted");
}

}  // namespace
}  // namespace dms::engine
