#include "kernels/attention_peaks.h"

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "support/seed.h"

namespace dms::kernels {
namespace {

constexpr float kNone = -std::numeric_limits<float>::infinity();

struct PeakCase {
  int64_t shared;
  int64_t first;
  int64_t places;
  int64_t count;
  int64_t head_dim;
  int64_t group;
  bool is_biased = false;
  float soft_cap = 0.0f;
};

std::vector<float> normal(int64_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> draw;
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = draw(random);
  return values;
}

/// [group, places], in float64 from the definition.
std::vector<double> reference(const PeakCase& c, const AttentionPeakArgs& args) {
  std::vector<double> peaks(static_cast<size_t>(c.group * c.places), kNone);
  for (int64_t query = 0; query < c.count; ++query) {
    for (int64_t g = 0; g < c.group; ++g) {
      std::vector<double> scores;
      double sum = 0;
      for (int64_t entry = 0; entry <= c.shared + query; ++entry) {
        double score =
            c.is_biased ? args.biases[static_cast<size_t>(g * (c.shared + c.count) + entry)] : 0;
        for (int64_t i = 0; i < c.head_dim; ++i) {
          score += static_cast<double>(
                       args.queries[static_cast<size_t>((query * c.group + g) * c.head_dim + i)]) *
                   args.keys[static_cast<size_t>(entry * c.head_dim + i)];
        }
        score *= args.scale;
        scores.push_back(c.soft_cap > 0 ? c.soft_cap * std::tanh(score / c.soft_cap) : score);
        sum += std::exp(scores.back());
      }
      for (int64_t place = 0; place < c.places; ++place) {
        double& peak = peaks[static_cast<size_t>(g * c.places + place)];
        peak = std::max(peak,
                        scores[static_cast<size_t>(c.first + place)] - std::log(sum) +
                            args.offsets[static_cast<size_t>(query)]);
      }
    }
  }
  return peaks;
}

TEST(AttentionPeaks, AreTheLargestWeightsThatQueriesGive) {
  const uint64_t seed = testing_support::seed();
  for (const PeakCase& c : {PeakCase{1, 0, 1, 1, 16, 1},
                            PeakCase{37, 4, 33, 65, 24, 3},
                            PeakCase{300, 4, 290, 41, 40, 7},
                            PeakCase{64, 0, 64, 150, 80, 2},
                            PeakCase{70, 4, 66, 65, 24, 3, true},
                            PeakCase{70, 0, 70, 65, 24, 2, false, 1.5f}}) {
    const std::vector<float> keys = normal((c.shared + c.count) * c.head_dim, seed);
    const std::vector<float> queries = normal(c.count * c.group * c.head_dim, seed + 1);
    const std::vector<float> offsets = normal(c.count, seed + 2);
    const std::vector<float> biases =
        normal(c.is_biased ? c.group * (c.shared + c.count) : 0, seed + 3);
    const AttentionPeakArgs args{.keys = keys,
                                 .queries = queries,
                                 .offsets = offsets,
                                 .biases = biases,
                                 .shared = c.shared,
                                 .first = c.first,
                                 .head_dim = c.head_dim,
                                 .group = c.group,
                                 .scale = 0.3f,
                                 .soft_cap = c.soft_cap};
    const std::vector<double> expected = reference(c, args);
    std::vector<float> peaks(expected.size(), kNone);
    attention_peaks(args, peaks);
    for (size_t i = 0; i < peaks.size(); ++i) {
      EXPECT_NEAR(peaks[i], expected[i], 1e-4) << c.shared << " entries, place " << i;
    }
    std::vector<float> higher(peaks.size(), 100.0f);
    attention_peaks(args, higher);
    EXPECT_EQ(higher, std::vector<float>(peaks.size(), 100.0f)) << "peaks never fall";
  }
}

}  // namespace
}  // namespace dms::kernels
