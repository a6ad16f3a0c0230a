// The objective's gradients against central differences of its value, in float64.

#include "train/objective.h"

#include <cmath>

#include <gtest/gtest.h>

#include "train/given_data.h"
#include "train/tiny_student.h"

namespace dms::train {
namespace {

using fixture::TinyShape;

struct Case {
  const char* name;
  DmsSource source;
  KlDirection kl = KlDirection::reverse;
  bool per_layer = false;
  bool soft_fraction = false;  // else the target is 0, where the straight-through term is silent
  int64_t window = 3;
  int64_t shift = 1;
  int64_t sliding_window = 0;
  bool recomputes = false;
};

constexpr Case kCases[]{
    {.name = "adapter", .source = DmsSource::adapter},
    {.name = "adapter fraction",
     .source = DmsSource::adapter,
     .soft_fraction = true,
     .recomputes = true},
    {.name = "adapter layer forward",
     .source = DmsSource::adapter,
     .kl = KlDirection::forward,
     .per_layer = true,
     .soft_fraction = true,
     .window = 0},
    {.name = "neuron", .source = DmsSource::neuron, .sliding_window = 7},
    {.name = "neuron fraction",
     .source = DmsSource::neuron,
     .kl = KlDirection::forward,
     .soft_fraction = true,
     .shift = 0},
};

/// Student, teacher and data of a case.
class Bench {
 public:
  explicit Bench(const Case& c)
      : student_(fixture::tiny_student(shape_of(c), at::kDouble)),
        teacher_(fixture::tiny_student(plain(shape_of(c)), at::kDouble, 2)),
        batch_(make_batch(data_, 0, 2)) {
    config_.dms.kl = c.kl;
    config_.dms.per_layer = c.per_layer;
    config_.dms.decision_shift = c.shift;
    config_.dms.soft_fraction = c.soft_fraction;
    config_.dms.tau = 0.8;
    config_.dms.initial_cr = c.soft_fraction ? 50.0 : 1.0;
    config_.dms.final_cr = config_.dms.initial_cr;
    config_.trainer.gradient_checkpointing = c.recomputes;
    config_.data.process_vocab_using_chunk = 5;
  }

  MicroResult operator()(int64_t step = 3, int64_t micro = 1) const {
    return (*make_objective(config_, student_, &teacher_))(batch_, step, micro);
  }

  TrainConfig& config() { return config_; }
  Student& student() { return student_; }

 private:
  static TinyShape shape_of(const Case& c) {
    return {.sliding_window = c.sliding_window,
            .qk_norm = c.source == DmsSource::neuron,
            .qkv_bias = true,
            .dms = DmsSpec{.source = c.source,
                           .decision_shift = c.shift,
                           .per_layer = c.per_layer,
                           .window = c.window,
                           .alpha_scale = 1.5,
                           .alpha_offset = 0.3}};
  }
  static TinyShape plain(TinyShape shape) {
    shape.dms.reset();
    return shape;
  }

  fixture::GivenData data_{{{{5, 7, 2, 9, 30, 11, 6, 3, 17, 5, 8}, std::vector<uint8_t>(11, 1)},
                            {{12, 4, 25, 1, 32, 0, 9}, {1, 1, 0, 1, 1, 1, 1}}},
                           {2}};
  TrainConfig config_;
  Student student_;
  Student teacher_;
  Batch batch_;
};

double central_difference(const Bench& bench, const at::Tensor& weight, int64_t element) {
  constexpr double kStep = 1e-5;
  const at::Tensor flat = weight.detach().view({-1});
  const double value = flat[element].item<double>();
  const auto loss_at = [&](double x) {
    flat[element] = x;
    return bench().loss.item<double>();
  };
  const double difference = (loss_at(value + kStep) - loss_at(value - kStep)) / (2.0 * kStep);
  flat[element] = value;
  return difference;
}

TEST(Objective, GradientsAreDifferencesOfTheLoss) {
  for (const Case& c : kCases) {
    Bench bench(c);
    bench().loss.backward();
    for (Parameter& parameter : bench.student().parameters().all()) {
      const at::Tensor gradient = parameter.value.grad();
      ASSERT_TRUE(gradient.defined()) << c.name << " " << parameter.name.name;
      for (const int64_t at : {int64_t{0}, gradient.numel() / 2, gradient.numel() - 1}) {
        const double expected = central_difference(bench, parameter.value, at);
        EXPECT_NEAR(
            gradient.flatten()[at].item<double>(), expected, 1e-7 + 1e-6 * std::abs(expected))
            << c.name << " " << parameter.name.name << " element " << at;
      }
    }
  }
}

TEST(Objective, NoiseIsTheMicroBatchsOwn) {
  const Bench bench(kCases[0]);
  const double loss = bench(3, 1).loss.item<double>();
  EXPECT_EQ(loss, bench(3, 1).loss.item<double>());
  EXPECT_NE(loss, bench(4, 1).loss.item<double>());
  EXPECT_NE(loss, bench(3, 2).loss.item<double>());
}

TEST(Objective, ChunksOfTheVocabularyChangeNothing) {
  for (const KlDirection kl : {KlDirection::reverse, KlDirection::forward}) {
    Bench bench({.name = "", .source = DmsSource::adapter, .kl = kl});
    const double loss = bench().loss.item<double>();
    for (const int64_t chunk : {1, 32, 100000}) {
      bench.config().data.process_vocab_using_chunk = chunk;
      EXPECT_NEAR(bench().loss.item<double>(), loss, 1e-13 * loss) << chunk;
    }
  }
}

/// KL and the missing share of evictions, which counts only while it is missing.
TEST(Objective, IsKlAndWhatIsMissingOfTheTarget) {
  Bench bench(kCases[0]);
  for (const double cr : {1.0, 1.01, 1000.0}) {
    bench.config().dms.initial_cr = bench.config().dms.final_cr = cr;
    const MicroResult result = bench();
    const double target = 1.0 - 1.0 / cr;
    ASSERT_GT(result.fraction_closed, 0.1);
    ASSERT_LT(result.fraction_closed, 0.9);
    const double missing = cr > 100.0 ? target - result.fraction_closed : 0.0;
    EXPECT_NEAR(result.loss.item<double>(), result.kl + missing, 1e-13);
  }
}

}  // namespace
}  // namespace dms::train
