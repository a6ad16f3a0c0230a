// Scores of KVzap as an adapter's start: the same decisions, number by number.

#include "train/calibrated_start.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "model/spec/adapter.h"
#include "model/spec/kvzap_adapter.h"
#include "support/errors.h"
#include "train/export/adapter_folder.h"
#include "train/export/base_folder.h"

namespace dms::train {
namespace {

namespace fs = std::filesystem;
using testing_support::BaseFolder;
using testing_support::expect_parts;
using testing_support::input_error;
using testing_support::NoiseWeights;
using testing_support::read_all;
using testing_support::tiny_config;

constexpr double kScale = 3.0;

fs::path write_scores(const BaseFolder& base, const NoiseWeights& weights, int64_t hidden = 0) {
  ModelSpec spec = base.spec();
  spec.kvzap = KvzapSpec{.threshold = -0.7, .sinks = 3, .hidden = hidden};
  write_kvzap_adapter(base.beside("scores"), spec, weights);
  return base.beside("scores");
}

ModelSpec student_of(const BaseFolder& base) {
  ModelSpec spec = base.spec();
  spec.dms = DmsSpec{.source = DmsSource::adapter,
                     .decision_shift = 0,
                     .alpha_scale = 20.0,
                     .alpha_offset = 1.5,
                     .alpha_bias = true};
  return spec;
}

WeightName weight_of(const ModelSpec& spec, WeightRole role) {
  for (const WeightName& weight : weight_names(spec)) {
    if (weight.role == role && weight.layer == 1) return weight;
  }
  ADD_FAILURE() << "no such weight";
  return {};
}

class EveryRmsNorm : public ::testing::TestWithParam<const char*> {};

/// Of a token whose input of length one is `x`.
TEST_P(EveryRmsNorm, LogitsAreTheScoresDistanceFromTheThreshold) {
  const BaseFolder base(tiny_config(GetParam()));
  const NoiseWeights scores(5);
  const ModelSpec spec = student_of(base);
  ModelSpec scored = base.spec();
  scored.kvzap = KvzapSpec{};
  const auto start = calibrated_start(base.path(), write_scores(base, scores), spec, kScale);

  const std::vector<float> norm =
      read_all(*base.open(), weight_of(spec, WeightRole::attention_norm));
  const std::vector<float> w = scores.all(weight_of(scored, WeightRole::kvzap));
  const std::vector<float> b = scores.all(weight_of(scored, WeightRole::kvzap_bias));
  const std::vector<float> own_norm = read_all(*start, weight_of(spec, WeightRole::dms_alpha_norm));
  const std::vector<float> own = read_all(*start, weight_of(spec, WeightRole::dms_alpha));
  const std::vector<float> bias = read_all(*start, weight_of(spec, WeightRole::dms_alpha_bias));
  const std::vector<float> x =
      scores.all({.role = {}, .layer = 0, .name = "x", .shape = {spec.hidden}});
  for (size_t head = 0; head < b.size(); ++head) {
    double score = b[head];
    double raw = bias[head];
    for (size_t i = 0; i < x.size(); ++i) {
      score += w[head * x.size() + i] * x[i] * (norm[i] + spec.norm_offset);
      raw += own[head * x.size() + i] * x[i] * own_norm[i];
    }
    EXPECT_NEAR(raw * 20.0 - 1.5, kScale * (-0.7 - score), 1e-4) << head;
  }
}

INSTANTIATE_TEST_SUITE_P(Norms, EveryRmsNorm, ::testing::Values("llama", "phi3", "gemma2"));

TEST(CalibratedStart, TakesAllElseFromTheBase) {
  const BaseFolder base(tiny_config());
  const ModelSpec spec = student_of(base);
  const auto start =
      calibrated_start(base.path(), write_scores(base, NoiseWeights(5)), spec, kScale);
  for (const WeightName& weight : weight_names(base.spec())) {
    EXPECT_EQ(read_all(*start, weight), read_all(*base.open(), weight)) << weight.name;
  }
  EXPECT_EQ(start_settings(base.spec(), base.beside("scores")).sinks, 3);
}

TEST(CalibratedStart, RefusesWhatItCannotStartFrom) {
  const auto refusal = [](const ModelSpec& spec, const fs::path& scores) {
    return input_error([&] { start_settings(spec, scores); });
  };
  const BaseFolder other(tiny_config("gpt_neox"));
  expect_parts(refusal(other.spec(), write_scores(other, NoiseWeights(5))),
               {"gpt_neox", "LayerNorm", "RMS norm before attention"});
  const BaseFolder base(tiny_config());
  const fs::path scores = write_scores(base, NoiseWeights(5));
  expect_parts(refusal(other.spec(), scores), {"another model", "llama"});
  expect_parts(refusal(student_of(base), scores), {"already has trained eviction"});
  expect_parts(refusal(base.spec(), write_scores(base, NoiseWeights(5), 8)),
               {"kvzap_hidden_size", "got 8"});
  write_adapter_folder(base.beside("trained"), student_of(base), 0.1, NoiseWeights(5));
  expect_parts(refusal(base.spec(), base.beside("trained")), {"dms calibrate kvzap"});
  expect_parts(refusal(base.spec(), base.beside("nothing")), {"adapter_config.json"});
}

}  // namespace
}  // namespace dms::train
