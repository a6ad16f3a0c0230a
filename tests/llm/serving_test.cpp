// Hundreds of requests on the demo model in too little memory: policies, lengths, priorities and
// shared beginnings at random, each answer held to the one it has alone.

#include <algorithm>
#include <array>
#include <filesystem>
#include <random>
#include <string>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

#include "dms/llm.h"
#include "support/seed.h"

namespace dms {
namespace {

const std::filesystem::path kDemo = std::filesystem::path(DMS_SOURCE_DIR) / "models" / "demo";
constexpr int64_t kRequests = 130;

struct Asked {
  std::vector<int32_t> prompt;
  SamplingParams sampling;
  CacheOptions cache;
  Generation result;
  bool is_cancelled = false;
};

class Mix {
 public:
  explicit Mix(const std::string& dtype) : alone_(kDemo, {.dtype = dtype}) {
    for (auto& beginning : beginnings_) beginning = random_ids(100, 400);
  }

  Asked next() {
    Asked asked;
    if (draw(0, 2) > 0) asked.prompt = beginnings_[draw(0, beginnings_.size() - 1)];
    const std::vector<int32_t> tail = random_ids(1, 60);
    asked.prompt.insert(asked.prompt.end(), tail.begin(), tail.end());
    asked.sampling = {.max_new_tokens = static_cast<int64_t>(draw(1, 48)),
                      .ignore_eos = true,
                      .log_probabilities = 2};
    constexpr std::array<const char*, 5> kPolicies{"dms", "dms", "none", "tova", "snapkv"};
    asked.cache.policy = kPolicies[draw(0, kPolicies.size() - 1)];
    return asked;
  }

  Generation alone(const Asked& asked) {
    Session session = alone_.new_session(asked.cache);
    return session.generate(asked.prompt, asked.sampling);
  }

  uint64_t draw(uint64_t min, uint64_t max) {
    return std::uniform_int_distribution<uint64_t>(min, max)(random_);
  }

 private:
  std::vector<int32_t> random_ids(uint64_t min, uint64_t max) {
    std::vector<int32_t> ids(draw(min, max));
    for (int32_t& id : ids) id = static_cast<int32_t>(draw(10, 8000));
    return ids;
  }

  LLM alone_;
  std::mt19937_64 random_{testing_support::seed()};
  std::array<std::vector<int32_t>, 3> beginnings_;
};

struct Case {
  std::string name;
  ModelOptions options;
  double tie;  // in log-probability
};

void PrintTo(const Case& c, std::ostream* os) { *os << c.name; }

class ServingMix : public testing::TestWithParam<Case> {};

/// Where a prompt is cut decides in which order attention sums: between two tokens as likely as
/// each other the choice may then be another, and all that follows.
void expect_same(const Asked& asked, const Generation& expected, double tie) {
  const std::vector<int32_t>& got = asked.result.ids;
  const auto end = asked.is_cancelled ? std::min(got.size(), expected.ids.size()) : got.size();
  const auto differs =
      std::mismatch(
          got.begin(), got.begin() + static_cast<std::ptrdiff_t>(end), expected.ids.begin())
          .first;
  const auto at = static_cast<size_t>(differs - got.begin());
  if (at == end) {
    EXPECT_TRUE(asked.is_cancelled || got.size() == expected.ids.size());
    return;
  }
  const std::vector<TokenProbability>& likeliest = expected.choices[at].likeliest;
  EXPECT_LT(likeliest[0].log_probability - likeliest[1].log_probability, tie)
      << asked.cache.policy << ", token " << at;
}

TEST_P(ServingMix, AnswersAreThoseOfEachRequestAlone) {
  const ModelOptions& options = GetParam().options;
  Mix mix(options.dtype);
  LLM llm(kDemo, options);
  std::vector<Asked> asked;
  for (int64_t i = 0; i < kRequests; ++i) asked.push_back(mix.next());
  std::vector<RequestId> ids;
  for (Asked& each : asked) {
    ids.push_back(llm.submit({.prompt = each.prompt,
                              .sampling = each.sampling,
                              .cache = each.cache,
                              .priority = static_cast<int64_t>(mix.draw(0, 2)),
                              .sink = [&each](const Event& event) {
                                if (const auto* end = std::get_if<FinishedEvent>(&event)) {
                                  each.result = end->result;
                                }
                              }}));
    if (mix.draw(0, 9) == 0) {
      const size_t victim = mix.draw(0, ids.size() - 1);
      asked[victim].is_cancelled = true;
      llm.cancel(ids[victim]);
    }
    const bool is_burst = ids.size() / 20 % 2 == 0;
    for (uint64_t steps = mix.draw(0, is_burst ? 2 : 60); steps > 0; --steps) llm.step();
  }
  while (llm.step()) {
  }
  for (const Asked& each : asked) {
    ASSERT_TRUE(each.result.error.empty()) << each.result.error;
    expect_same(each, mix.alone(each), GetParam().tie);
  }
  const EngineStats stats = llm.stats();
  EXPECT_GT(stats.preemptions, 0);
  EXPECT_EQ(stats.swaps > 0, options.swap_bytes > 0);
  EXPECT_EQ(stats.cached_tokens > 0, options.prefix_cache);
  EXPECT_LE(stats.kv_peak_bytes, options.kv_memory_bytes);
  EXPECT_EQ(stats.running + stats.waiting + stats.swapped_bytes, 0);
}

INSTANTIATE_TEST_SUITE_P(Llm,
                         ServingMix,
                         testing::Values(Case{"shared",
                                              {.dtype = "f32",
                                               .max_sequences = 12,
                                               .kv_memory_bytes = 9 << 20,
                                               .prefix_cache = true},
                                              1e-3},
                                         Case{"swapped",
                                              {.dtype = "bf16",
                                               .max_sequences = 12,
                                               .kv_memory_bytes = 2 << 20,
                                               .swap_bytes = 64 << 20},
                                              0.1}),
                         [](const auto& given) { return given.param.name; });

}  // namespace
}  // namespace dms
