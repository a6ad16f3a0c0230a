#include <cmath>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "model/spec/load.h"
#include "model/spec/tiny_config.h"
#include "support/seed.h"

namespace dms {
namespace {

using testing_support::spec_of;
using testing_support::tiny_config;

TEST(RandomWeights, DoNotDependOnTheOrderOfReading) {
  const ModelSpec spec = spec_of(tiny_config());
  const auto source = random_weights(spec, 5);
  const WeightName weight = weight_names(spec).front();  // the embedding, [32, 16]
  std::vector<float> whole(32 * 16);
  source->read_rows(weight, 0, 32, whole);
  std::mt19937_64 random(testing_support::seed());
  for (int trial = 0; trial < 50; ++trial) {
    const auto first = static_cast<int64_t>(random() % 32);
    const auto count = 1 + static_cast<int64_t>(random() % static_cast<uint64_t>(32 - first));
    std::vector<float> part(static_cast<size_t>(count * 16));
    random_weights(spec, 5)->read_rows(weight, first, count, part);
    const auto begin = whole.begin() + first * 16;
    EXPECT_EQ(part, std::vector<float>(begin, begin + count * 16))
        << first << " + " << count << ", seed " << testing_support::seed();
  }
  std::vector<float> other(whole.size());
  random_weights(spec, 6)->read_rows(weight, 0, 32, other);
  EXPECT_NE(whole, other);
}

TEST(RandomWeights, HaveTheStatedScale) {
  Json config = tiny_config("qwen2");
  config["vocab_size"] = 4096;
  const ModelSpec spec = spec_of(config);
  const auto source = random_weights(spec, 1);
  for (const WeightName& weight : weight_names(spec)) {
    const int64_t rows = weight.shape.size() == 1 ? 1 : weight.shape[0];
    std::vector<float> values(static_cast<size_t>(rows * weight.shape.back()));
    source->read_rows(weight, 0, rows, values);
    if (weight.shape.size() == 1) {
      const bool is_bias = weight.name.ends_with(".bias");
      EXPECT_EQ(values, std::vector<float>(values.size(), is_bias ? 0.0f : 1.0f)) << weight.name;
    } else if (weight.role == WeightRole::embedding) {
      double squares = 0.0;
      for (const float value : values) squares += static_cast<double>(value) * value;
      EXPECT_NEAR(squares / static_cast<double>(values.size()), 1.0 / 16.0, 0.003);
    }
  }
}

}  // namespace
}  // namespace dms
