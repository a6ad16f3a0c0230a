#include "policy/budget.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

#include <gtest/gtest.h>

#include "dms/error.h"

namespace dms::policy {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

int64_t evicted(const std::vector<uint8_t>& plan) {
  return std::accumulate(plan.begin(), plan.end(), int64_t{0});
}

/// Keys may be infinite, or come from a file: scores that are no numbers must not upset the order.
TEST(Budget, WhatHasNoNumberForAScoreGoesFirst) {
  std::mt19937 random(1);
  for (const size_t count : {5u, 100u, 3000u}) {
    std::vector<float> scores(count);
    for (float& score : scores) score = static_cast<float>(random() % 1000);
    int64_t unknown = 0;
    for (size_t i = 0; i < count; i += 1 + random() % 5) {
      scores[i] = kNan;
      ++unknown;
    }
    for (const int64_t drop : {unknown / 2, unknown, (unknown + std::ssize(scores)) / 2}) {
      const cache::EvictionPlan plan = drop_lowest({scores}, {drop});
      EXPECT_EQ(evicted(plan[0]), drop);
      float lowest_kept = std::numeric_limits<float>::infinity();
      float highest_dropped = -lowest_kept;
      for (size_t i = 0; i < count; ++i) {
        if (std::isnan(scores[i])) {
          EXPECT_TRUE(plan[0][i] == 1 || drop < unknown);
        } else if (plan[0][i] == 1) {
          highest_dropped = std::max(highest_dropped, scores[i]);
        } else {
          lowest_kept = std::min(lowest_kept, scores[i]);
        }
      }
      EXPECT_LE(highest_dropped, lowest_kept) << count << " entries, " << drop << " go";
    }
  }
}

PolicyRequest request(std::map<std::string, std::string> args) {
  return {.layers = 2,
          .kv_heads = 2,
          .args = std::move(args),
          .window = std::nullopt,
          .decisions_file = {},
          .trained = std::nullopt,
          .q_heads = 4,
          .head_dim = 8};
}

/// Heads of `counts` entries, at rising positions below 100.
std::vector<cache::HeadEntries> heads_of(const std::vector<size_t>& counts) {
  std::vector<cache::HeadEntries> heads(counts.size());
  for (size_t head = 0; head < counts.size(); ++head) {
    heads[head].positions.resize(counts[head]);
    std::iota(heads[head].positions.begin(),
              heads[head].positions.end(),
              static_cast<int32_t>(100 - counts[head]));
  }
  return heads;
}

TEST(Budget, HoldsOverHeadsLayersAndTheModel) {
  const std::vector<size_t> counts{40, 37, 12};
  const std::vector<cache::HeadEntries> heads = heads_of(counts);
  std::mt19937 random(2);
  Scores scores;
  for (const size_t count : counts) {
    for (float& score : scores.emplace_back(count)) score = static_cast<float>(random() % 50);
  }
  for (const BudgetOver over : {BudgetOver::head, BudgetOver::layer, BudgetOver::model}) {
    const cache::EvictionPlan plan =
        select({.entries = 20, .over = over}, heads, scores, /*first_kept=*/97);
    // What a head has less than its share the others may have more.
    const int64_t expected = over == BudgetOver::head ? 20 + 17 : 40 + 37 + 12 - 3 * 20;
    EXPECT_EQ(evicted(plan[0]) + evicted(plan[1]) + evicted(plan[2]), expected);
    EXPECT_TRUE(over != BudgetOver::head || evicted(plan[2]) == 0);
    for (const std::vector<uint8_t>& head : plan) {
      EXPECT_EQ(std::accumulate(head.end() - 3, head.end(), 0), 0) << "the newest stay";
    }
  }
  const Budget half{.compression_ratio = 0.5, .over = BudgetOver::model};
  const cache::EvictionPlan plan = select(half, heads, scores, 100);
  EXPECT_EQ(evicted(plan[0]) + evicted(plan[1]) + evicted(plan[2]), (40 + 37 + 12) / 2);
}

TEST(Budget, SecondStageWeighsScoresByWhatValuesBecome) {
  std::vector<cache::HeadEntries> heads = heads_of({4});
  heads[0].output_norms = {1.0f, 1.0f, 1.0f, 10.0f};
  const Scores scores{{4.0f, 3.0f, 2.0f, 1.0f}};
  EXPECT_EQ(select({.critical = true}, heads, scores, 100)[0], (std::vector<uint8_t>{0, 1, 1, 0}));
  EXPECT_EQ(select({}, heads, scores, 100)[0], (std::vector<uint8_t>{0, 0, 1, 1}));
}

TEST(Ranking, RefusesArgumentsWithoutUse) {
  const std::vector<std::pair<std::string, std::map<std::string, std::string>>> cases{
      {"snapkv", {{"interval", "5"}}},
      {"snapkv", {{"kernel_size", "4"}}},
      {"snapkv", {{"budget", "0"}}},
      {"criticalkv", {{"base", "nonesuch"}}},
      {"criticalkv", {{"base", "tova"}}},
      {"knorm", {{"base", "snapkv"}}},
      {"knorm", {{"threshold", "1"}}},
      {"knorm", {{"threshold", "-1"}, {"budget", "5"}}},
      {"knorm", {{"alpha_safeguard", "0.1"}}},
      {"adaptive", {{"alpha_safeguard", "2"}}},
      {"chunked", {{"chunk_length", "0"}}},
      {"chunked", {{"budget", "8"}, {"interval", "4"}}},
      {"rkv", {{"budget", "8"}, {"compression_ratio", "0.5"}}},
      {"lagkv", {{"lag_size", "1"}}},
      {"snapkv", {{"budget", "32"}}},
      {"chunked", {{"chunk_length", "64"}}},
      {"expected_attention", {{"epsilon", "-1"}}},
      {"keydiff", {{"budget_over", "heads"}}}};
  for (const auto& [name, args] : cases) {
    EXPECT_THROW(make_policy(name, request(args)), InputError)
        << name << " " << args.begin()->first;
  }
}

TEST(Tova, RefusesHeadsThatHoldDifferentTokens) {
  const PolicyPtr tova = make_policy("tova", request({{"budget", "1"}, {"interval", "1"}}));
  cache::LayerEntries layer{.tokens = 3, .prompt_begin = 3, .heads = {}};
  layer.heads.push_back({.positions = {0, 1, 2}, .key_norms = {}, .attention = {0.2f, 0.3f, 0.5f}});
  layer.heads.push_back(layer.heads.front());
  EXPECT_EQ(evicted(tova->plan(layer, nullptr)[1]), 2);
  layer.heads.back() = {.positions = {2}, .key_norms = {}, .attention = {1.0f}};
  EXPECT_THROW(tova->plan(layer, nullptr), RunError);
}

}  // namespace
}  // namespace dms::policy
