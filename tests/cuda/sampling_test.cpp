// Sampling beside a plain sampler that keeps what engine::Sampler keeps and draws from the same
// random bits, so that tokens are equal one by one.

#include "cuda/kernels/sampling.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "cuda/device_buffer.h"
#include "engine/sampler.h"

namespace dms::cuda {
namespace {

using testing_support::DeviceBuffer;
using testing_support::require_cuda;
using testing_support::wait_for_device;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

/// Philox-4x32-10's first 64 bits of block (counter, 0).
uint64_t philox(uint64_t seed, uint64_t counter) {
  uint32_t x[4] = {static_cast<uint32_t>(counter), static_cast<uint32_t>(counter >> 32), 0, 0};
  auto key0 = static_cast<uint32_t>(seed);
  auto key1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round, key0 += 0x9e3779b9u, key1 += 0xbb67ae85u) {
    const uint64_t a = uint64_t{0xd2511f53u} * x[0];
    const uint64_t b = uint64_t{0xcd9e8d57u} * x[2];
    const uint32_t next[4] = {static_cast<uint32_t>(b >> 32) ^ x[1] ^ key0,
                              static_cast<uint32_t>(b),
                              static_cast<uint32_t>(a >> 32) ^ x[3] ^ key1,
                              static_cast<uint32_t>(a)};
    std::ranges::copy(next, x);
  }
  return uint64_t{x[1]} << 32 | x[0];
}

struct Candidate {
  int32_t token = 0;
  float scaled = 0.0f;
  double weight = 0.0;
};

void keep_top_p(double top_p, std::vector<Candidate>& kept) {
  double total = 0.0;
  for (const Candidate& c : kept) total += c.weight;
  std::ranges::stable_sort(kept, std::greater<>(), &Candidate::scaled);
  double sum = 0.0;
  for (size_t i = 0; i < kept.size(); ++i) {
    sum += kept[i].weight;
    if (sum >= top_p * total) {
      kept.resize(i + 1);
      break;
    }
  }
  std::ranges::sort(kept, {}, &Candidate::token);
}

/// Tokens that may be drawn, by rising id.
std::vector<Candidate> kept_tokens(std::span<const float> logits, const SamplingRow& row) {
  const float best = *std::ranges::max_element(logits);
  float threshold = -kInfinity;
  if (row.top_k > 0 && static_cast<size_t>(row.top_k) < logits.size()) {
    std::vector<float> sorted(logits.begin(), logits.end());
    std::ranges::sort(sorted, std::greater<>());
    threshold = sorted[static_cast<size_t>(row.top_k - 1)];
  }
  std::vector<Candidate> kept;
  for (size_t i = 0; i < logits.size(); ++i) {
    const double distance = (double{logits[i]} - double{best}) / row.temperature;
    if (!(logits[i] >= threshold) || !(distance > -60.0)) continue;
    const auto scaled = static_cast<float>(distance);
    kept.push_back({static_cast<int32_t>(i), scaled, std::exp(double{scaled})});
  }
  if (row.top_p < 1.0f) keep_top_p(row.top_p, kept);
  std::erase_if(kept, [&](const Candidate& c) { return c.weight < row.min_p; });
  return kept;
}

/// The upper half of the product.
uint64_t high_product(uint64_t a, uint64_t b) {
  constexpr uint64_t kLow = 0xffffffffu;
  const uint64_t low = (a & kLow) * (b & kLow);
  const uint64_t middle = (a >> 32) * (b & kLow) + (low >> 32);
  const uint64_t other = (a & kLow) * (b >> 32) + (middle & kLow);
  return (a >> 32) * (b >> 32) + (middle >> 32) + (other >> 32);
}

int32_t expected_token(std::span<const float> logits, const SamplingRow& row) {
  if (row.temperature == 0.0f) {
    return static_cast<int32_t>(std::ranges::max_element(logits) - logits.begin());
  }
  const std::vector<Candidate> kept = kept_tokens(logits, row);
  const auto fixed = [](const Candidate& c) {
    return static_cast<uint64_t>(std::llround(c.weight * 0x1p42));
  };
  uint64_t total = 0;
  for (const Candidate& c : kept) total += fixed(c);
  const uint64_t target = high_product(philox(row.seed, row.counter), total);
  uint64_t sum = 0;
  for (const Candidate& c : kept) {
    sum += fixed(c);
    if (sum > target) return c.token;
  }
  return -1;
}

struct Sampled {
  std::vector<int32_t> tokens;
  std::vector<SamplingRow> rows;  // after the draws
};

Sampled sample_rows(const std::vector<float>& logits, const std::vector<SamplingRow>& rows) {
  const auto count = static_cast<int32_t>(rows.size());
  const auto vocab = static_cast<int32_t>(logits.size() / rows.size());
  const DeviceBuffer<float> device_logits(logits);
  DeviceBuffer<SamplingRow> settings(rows);
  DeviceBuffer<int32_t> tokens(rows.size());
  DeviceBuffer<std::byte> workspace(static_cast<size_t>(sample_workspace_bytes(count, vocab)));
  require_cuda(sample({.logits = device_logits.get(),
                       .settings = settings.get(),
                       .tokens = tokens.get(),
                       .rows = count,
                       .vocab = vocab,
                       .workspace = workspace.get()},
                      nullptr));
  wait_for_device();
  return {tokens.download(), settings.download()};
}

/// `levels`: how many different logits there are; 0: as many as tokens.
std::vector<float> some_logits(size_t count, int levels, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, 2.0f);
  std::vector<float> logits(count);
  for (float& logit : logits) {
    logit = normal(random);
    if (levels > 0) logit = std::round(logit * static_cast<float>(levels) / 8.0f);
  }
  return logits;
}

/// All settings for rows of `vocab` logits, in one launch.
void expect_right(int32_t vocab, int levels, const std::vector<SamplingRow>& rows) {
  const auto width = static_cast<size_t>(vocab);
  const std::vector<float> logits = some_logits(width * rows.size(), levels, 1);
  const Sampled sampled = sample_rows(logits, rows);
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto row = std::span(logits).subspan(i * width, width);
    EXPECT_EQ(sampled.tokens[i], expected_token(row, rows[i]))
        << "vocab " << vocab << " levels " << levels << " temperature " << rows[i].temperature
        << " top_k " << rows[i].top_k << " top_p " << rows[i].top_p << " min_p " << rows[i].min_p;
    const uint64_t draws = rows[i].temperature > 0.0f ? 1 : 0;
    EXPECT_EQ(sampled.rows[i].counter, rows[i].counter + draws);
  }
}

std::vector<SamplingRow> many_settings() {
  std::vector<SamplingRow> rows;
  for (const int32_t top_k : {0, 1, 7, 40}) {
    for (const float top_p : {1.0f, 0.9f, 0.4f, 0.01f}) {
      for (const float min_p : {0.0f, 0.2f}) {
        rows.push_back({.temperature = 0.7f + 0.2f * static_cast<float>(rows.size() % 4),
                        .top_k = top_k,
                        .top_p = top_p,
                        .min_p = min_p,
                        .seed = 0x123456789abcdefu + rows.size(),
                        .counter = (uint64_t{1} << 32) - 3 + rows.size()});
      }
    }
  }
  return rows;
}

TEST(Philox, GivesTheNumbersOfItsAuthors) {
  EXPECT_EQ(philox(0, 0), 0xe169c58d6627e8d5u);  // Random123's known answers
}

/// The plain sampler's kept tokens are what engine::Sampler draws from.
TEST(KeptTokens, AreThoseOfTheCpu) {
  constexpr int kDraws = 400;
  for (const int levels : {0, 4}) {
    const std::vector<float> logits = some_logits(60, levels, 8);
    for (const SamplingRow& row : many_settings()) {
      engine::Sampler sampler({.temperature = row.temperature,
                               .top_k = row.top_k,
                               .top_p = row.top_p,
                               .min_p = row.min_p,
                               .seed = row.seed});
      std::vector<int> drawn(logits.size());
      for (int i = 0; i < kDraws; ++i) {
        std::vector<float> copy = logits;
        ++drawn[static_cast<size_t>(sampler.sample(copy))];
      }
      double total = 0.0;
      for (const Candidate& c : kept_tokens(logits, row)) total += c.weight;
      for (const Candidate& c : kept_tokens(logits, row)) {
        int& count = drawn[static_cast<size_t>(c.token)];
        EXPECT_TRUE(count > 0 || c.weight < total / 20) << c.token;  // (1 - 1/20)^400 = 1e-9
        count = 0;
      }
      EXPECT_EQ(drawn, std::vector<int>(logits.size()))
          << "top_k " << row.top_k << " top_p " << row.top_p << " min_p " << row.min_p;
    }
  }
}

TEST(Sample, DrawsWhatTheSettingsLeave) {
  DMS_NEEDS_CUDA_DEVICE();
  for (const int32_t vocab : {1, 33, 300}) expect_right(vocab, 0, many_settings());
}

TEST(Sample, BreaksTiesAsTheCpu) {
  DMS_NEEDS_CUDA_DEVICE();
  for (const int levels : {2, 40}) expect_right(200, levels, many_settings());
}

TEST(Sample, ServesLargeVocabularies) {
  DMS_NEEDS_CUDA_DEVICE();
  expect_right(32'007,
               0,
               {{.temperature = 1.0f, .seed = 1},
                {.temperature = 0.0f},
                {.temperature = 1.5f, .top_k = 50, .top_p = 0.95f, .min_p = 0.01f, .seed = 2},
                {.temperature = 3.0f, .top_p = 0.9f, .seed = 3}});
}

/// The best token stands alone, and the filters reach those far below it.
TEST(Sample, KeepsWhatIsFarFromTheBest) {
  DMS_NEEDS_CUDA_DEVICE();
  constexpr size_t kVocab = 20'000;
  std::vector<float> logits = some_logits(3 * kVocab, 0, 7);
  for (float& logit : logits) logit *= 0.1f;
  for (size_t row = 0; row < 3; ++row) logits[row * kVocab + 500] = 9.0f;  // 1 beside 20,000 e^-9
  const std::vector<SamplingRow> rows{{.temperature = 1.0f, .top_p = 0.6f, .seed = 1},
                                      {.temperature = 1.0f, .top_k = 15'000, .seed = 2},
                                      {.temperature = 1.0f, .top_k = 15'000, .seed = 3}};
  const Sampled sampled = sample_rows(logits, rows);
  for (size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(sampled.tokens[i],
              expected_token(std::span(logits).subspan(i * kVocab, kVocab), rows[i]));
  }
}

TEST(Sample, TakesTheFirstOfTheHighestWithoutATemperature) {
  DMS_NEEDS_CUDA_DEVICE();
  for (const int32_t vocab : {1, 32, 33, 1024, 2049}) {
    for (const int levels : {0, 2}) {
      expect_right(vocab, levels, std::vector<SamplingRow>(4));
    }
  }
  EXPECT_EQ(sample_rows({-1.0f, -0.0f, 0.0f, -0.0f}, {{}}).tokens[0], 1);
  EXPECT_EQ(sample_rows({-kInfinity, -3e38f, -kInfinity}, {{}}).tokens[0], 1);
}

TEST(Sample, NeverDrawsWhatIsExcluded) {
  DMS_NEEDS_CUDA_DEVICE();
  std::vector<float> logits;
  std::vector<SamplingRow> rows;
  for (uint64_t i = 0; i < 16; ++i) {
    logits.insert(logits.end(), {-kInfinity, 1.0f, -kInfinity, 1.0f, -kInfinity});
    rows.push_back({.temperature = 5.0f, .top_k = i % 2 == 0 ? 0 : 4, .seed = i});
    if (i >= 8) rows.back().top_p = 0.99f;
  }
  for (const int32_t token : sample_rows(logits, rows).tokens) EXPECT_EQ(token % 2, 1) << token;
}

TEST(Sample, TakesTheFirstOfTheHighestAtTemperaturesWithoutAReciprocal) {
  DMS_NEEDS_CUDA_DEVICE();
  for (const float temperature : {0x1p-149f, 0x1p-130f}) {
    const SamplingRow row{.temperature = temperature, .top_p = 0.9f, .counter = 5};
    const Sampled sampled = sample_rows({-1.0f, 3.0f, 3.0f, 2.0f}, {row});
    EXPECT_EQ(sampled.tokens[0], 1);
    EXPECT_EQ(sampled.rows[0].counter, 5u);
  }
  const SamplingRow least{.temperature = 0x1p-127f, .counter = 5};
  const Sampled sampled = sample_rows({-1.0f, 2.0f, 3.0f, -kInfinity}, {least});
  EXPECT_EQ(sampled.tokens[0], 2);
  EXPECT_EQ(sampled.rows[0].counter, 6u);
}

TEST(Sample, KeepsTheBestWhateverMinPAsksFor) {
  DMS_NEEDS_CUDA_DEVICE();
  for (uint64_t seed = 0; seed < 4; ++seed) {
    const SamplingRow row{.temperature = 1.0f, .min_p = 1.5f, .seed = seed};
    EXPECT_EQ(sample_rows({-1.0f, 2.0f, 3.0f, 2.5f}, {row}).tokens[0], 2);
  }
}

TEST(Sample, RefusesRowsThatAreNotNumbers) {
  DMS_NEEDS_CUDA_DEVICE();
  for (const float temperature : {0.0f, 1.0f}) {
    const SamplingRow row{.temperature = temperature, .counter = 5};
    const Sampled sampled = sample_rows({1.0f,
                                         kNan,
                                         2.0f,  //
                                         -kNan,
                                         1.0f,
                                         2.0f,  //
                                         kInfinity,
                                         1.0f,
                                         2.0f,  //
                                         -kInfinity,
                                         -kInfinity,
                                         -kInfinity,  //
                                         1.0f,
                                         2.0f,
                                         -kInfinity},
                                        std::vector<SamplingRow>(5, row));
    EXPECT_EQ(std::vector(sampled.tokens.begin(), sampled.tokens.begin() + 4),
              std::vector<int32_t>(4, -1));
    EXPECT_NE(sampled.tokens[4], -1);
    for (int i = 0; i < 4; ++i) EXPECT_EQ(sampled.rows[static_cast<size_t>(i)].counter, 5u);
  }
}

TEST(Sample, DrawsTheSameFromTheSameSeedAndCounter) {
  DMS_NEEDS_CUDA_DEVICE();
  const std::vector<float> row = some_logits(500, 0, 3);
  std::vector<float> logits;
  for (int i = 0; i < 4; ++i) logits.insert(logits.end(), row.begin(), row.end());
  const std::vector<SamplingRow> rows(4, {.temperature = 1.0f, .seed = 9, .counter = 77});
  const std::vector<int32_t> tokens = sample_rows(logits, rows).tokens;
  EXPECT_EQ(tokens, std::vector<int32_t>(4, tokens[0]));
}

/// The draws of many counters beside the probabilities of what is kept.
TEST(Sample, FollowsTheProbabilities) {
  DMS_NEEDS_CUDA_DEVICE();
  constexpr size_t kDraws = 150;
  const std::vector<float> row = some_logits(24, 0, 5);
  for (const SamplingRow& settings :
       {SamplingRow{.temperature = 1.3f, .seed = 11},
        SamplingRow{.temperature = 2.0f, .top_k = 12, .top_p = 0.9f, .seed = 12}}) {
    std::vector<float> logits;
    std::vector<SamplingRow> rows;
    for (size_t i = 0; i < kDraws; ++i) {
      logits.insert(logits.end(), row.begin(), row.end());
      rows.push_back(settings);
      rows.back().counter = i;
    }
    std::vector<double> drawn(row.size());
    for (const int32_t token : sample_rows(logits, rows).tokens)
      ++drawn[static_cast<size_t>(token)];
    const std::vector<Candidate> kept = kept_tokens(row, settings);
    double total = 0.0;
    for (const Candidate& c : kept) total += c.weight;
    double chi_square = 0.0;
    double seen = 0.0;
    for (const Candidate& c : kept) {
      const double expected = kDraws * c.weight / total;
      const double got = drawn[static_cast<size_t>(c.token)];
      chi_square += (got - expected) * (got - expected) / expected;
      seen += got;
    }
    EXPECT_EQ(seen, kDraws) << "tokens were drawn that are not kept";
    // Mean degrees, deviation sqrt(2 degrees): five deviations.
    const auto degrees = static_cast<double>(kept.size() - 1);
    EXPECT_LT(chi_square, degrees + 5.0 * std::sqrt(2.0 * degrees));
  }
}

TEST(Sample, RefusesAVocabularyWhoseWeightsDoNotFit) {
  SampleParams params{.rows = 1};
  for (const int32_t vocab : {0, (1 << 21) + 1}) {
    params.vocab = vocab;
    EXPECT_EQ(sample(params, nullptr), cudaErrorInvalidValue);
  }
}

}  // namespace
}  // namespace dms::cuda
