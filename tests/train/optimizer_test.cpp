// The optimiser against its equations on plain numbers.

#include "train/optimizer.h"

#include <cmath>

#include <gtest/gtest.h>

#include "train/optimizer_fixture.h"

namespace dms::train {
namespace {

using fixture::Gradients;
using fixture::TinyShape;

/// AdamW (Loshchilov and Hutter 2019), one number at a time.
class PlainAdamW {
 public:
  PlainAdamW(const at::Tensor& start, const TrainerSection& settings, double decay)
      : settings_(settings), decay_(decay) {
    const at::Tensor flat = start.detach().to(at::kDouble).flatten();
    values_.assign(flat.const_data_ptr<double>(), flat.const_data_ptr<double>() + flat.numel());
    first_.assign(values_.size(), 0.0);
    second_.assign(values_.size(), 0.0);
  }

  void step(const at::Tensor& gradient, double lr_factor) {
    const at::Tensor flat = gradient.to(at::kDouble).contiguous().flatten();
    const double* const g = flat.const_data_ptr<double>();
    const double lr = settings_.learning_rate * lr_factor;
    const double beta1 = settings_.adam_beta1;
    const double beta2 = settings_.adam_beta2;
    ++steps_;
    for (size_t i = 0; i < values_.size(); ++i) {
      values_[i] -= lr * decay_ * values_[i];
      first_[i] = beta1 * first_[i] + (1.0 - beta1) * g[i];
      second_[i] = beta2 * second_[i] + (1.0 - beta2) * g[i] * g[i];
      const double mean = first_[i] / (1.0 - std::pow(beta1, steps_));
      const double variance = second_[i] / (1.0 - std::pow(beta2, steps_));
      values_[i] -= lr * mean / (std::sqrt(variance) + settings_.adam_epsilon);
    }
  }

  double distance_to(const at::Tensor& other) const {
    const at::Tensor wide = other.detach().to(at::kDouble).flatten();
    return fixture::distance(at::tensor(values_, at::kDouble), wide);
  }

 private:
  const TrainerSection& settings_;
  double decay_;
  double steps_ = 0;
  std::vector<double> values_, first_, second_;
};

TrainerSection adamw_settings() {
  TrainerSection settings;
  settings.learning_rate = 1e-2;
  settings.weight_decay = 0.3;
  settings.adam_beta1 = 0.8;
  settings.adam_beta2 = 0.97;
  settings.adam_epsilon = 1e-6;
  settings.max_grad_norm = 0.0;
  return settings;
}

struct Training {
  explicit Training(at::ScalarType type, TrainerSection given = adamw_settings())
      : settings(given),
        parameters(fixture::trained_parameters({.qkv_bias = true}, type)),
        optimizer(parameters, settings, *alone) {}

  double step(const std::vector<Gradients>& micro_batches, double lr_factor = 1.0) {
    for (const Gradients& gradients : micro_batches) {
      fixture::give(parameters, gradients);
      optimizer.accumulate();
    }
    return optimizer.step(lr_factor, std::ssize(micro_batches));
  }

  TrainerSection settings;
  std::unique_ptr<Communicator> alone = make_communicator(Launch{}, at::kCPU);
  Parameters parameters;
  Optimizer optimizer;
};

/// Matrices decay, vectors do not.
std::vector<PlainAdamW> plain_optimizers(const Training& run) {
  std::vector<PlainAdamW> plain;
  for (const Parameter& parameter : run.parameters.all()) {
    const bool is_matrix = parameter.name.shape.size() == 2;
    plain.emplace_back(parameter.value, run.settings, is_matrix ? run.settings.weight_decay : 0.0);
  }
  return plain;
}

void expect_equal(const Training& run, const std::vector<PlainAdamW>& plain, double tolerance) {
  for (size_t i = 0; i < plain.size(); ++i) {
    const Parameter& parameter = run.parameters.all()[i];
    EXPECT_LT(plain[i].distance_to(parameter.value), tolerance) << parameter.name.name;
  }
}

TEST(Optimizer, AdamWFollowsItsEquations) {
  for (const auto& [type, tolerance] : {std::pair(at::kDouble, 1e-13), {at::kFloat, 3e-6}}) {
    Training run(type);
    std::vector<PlainAdamW> plain = plain_optimizers(run);
    for (int step = 0; step < 6; ++step) {
      const double lr_factor = 1.0 - 0.1 * step;
      const std::vector<Gradients> micro{fixture::random_gradients(run.parameters, 2 * step + 1),
                                         fixture::random_gradients(run.parameters, 2 * step + 2)};
      run.step(micro, lr_factor);
      for (size_t i = 0; i < plain.size(); ++i) {
        plain[i].step((micro[0][i] + micro[1][i]) / 2.0, lr_factor);
      }
      expect_equal(run, plain, tolerance);
    }
  }
}

TEST(Optimizer, ClipsByTheNormOfAllGradients) {
  TrainerSection settings = adamw_settings();
  settings.max_grad_norm = 0.25;
  for (const double size : {0.001, 1.0}) {  // below the limit, and far above it
    Training run(at::kDouble, settings);
    std::vector<PlainAdamW> plain = plain_optimizers(run);
    const Gradients gradients = fixture::random_gradients(run.parameters, 1, size);
    double squares = 0.0;
    for (const at::Tensor& g : gradients) squares += g.square().sum().item<double>();
    const double norm = std::sqrt(squares);
    ASSERT_EQ(norm > settings.max_grad_norm, size == 1.0);
    EXPECT_NEAR(run.step({gradients}), norm, 1e-9 * norm);
    const double factor = norm > 0.25 ? 0.25 / (norm + 1e-6) : 1.0;
    for (size_t i = 0; i < plain.size(); ++i) plain[i].step(gradients[i] * factor, 1.0);
    expect_equal(run, plain, 1e-13);
  }
}

/// Each step is far below bf16's resolution: without masters nothing would ever move.
TEST(Optimizer, MastersKeepWhatBfloat16CannotHold) {
  TrainerSection settings = adamw_settings();
  settings.learning_rate = 1e-5;
  settings.weight_decay = 0.0;
  Training run(at::kBFloat16, settings);
  const std::vector<NamedTensor> before = run.optimizer.masters();
  std::vector<at::Tensor> starts;
  for (const NamedTensor& master : before) starts.push_back(master.value.clone());
  Gradients ones;
  for (const Parameter& p : run.parameters.all()) ones.push_back(at::ones_like(p.value.detach()));
  for (int step = 0; step < 40; ++step) run.step({ones});
  for (size_t i = 0; i < before.size(); ++i) {
    const at::Tensor moved = starts[i] - before[i].value;  // 1e-5 a step, whatever the gradient
    EXPECT_LT(fixture::distance(moved, at::full_like(moved, 40e-5)), 2e-6) << before[i].name;
    EXPECT_EQ(before[i].value.scalar_type(), at::kFloat);
    const at::Tensor leaf = run.parameters.all()[i].value.detach();
    EXPECT_TRUE(at::equal(leaf, before[i].value.to(leaf.scalar_type()))) << before[i].name;
  }
}

TEST(Optimizer, LeavesEverythingWhereTheGradientIsNotFinite) {
  Training run(at::kFloat);
  run.step({fixture::random_gradients(run.parameters, 1)});
  Gradients before;
  for (const Parameter& p : run.parameters.all()) before.push_back(p.value.detach().clone());
  Gradients bad = fixture::random_gradients(run.parameters, 2);
  bad[3].flatten()[0] = std::numeric_limits<float>::infinity();
  EXPECT_FALSE(std::isfinite(run.step({bad})));
  for (size_t i = 0; i < before.size(); ++i) {
    EXPECT_TRUE(at::equal(before[i], run.parameters.all()[i].value)) << i;
  }
}

TEST(Optimizer, FrozenWeightsStay) {
  const ModelSpec spec = fixture::tiny_spec({});
  Parameters parameters(spec, fixture::NoiseWeights(1), at::kFloat);
  parameters.train({"model.layers.1.*"});
  const TrainerSection settings = adamw_settings();
  const auto alone = make_communicator(Launch{}, at::kCPU);
  Optimizer optimizer(parameters, settings, *alone);
  Gradients before;
  for (const Parameter& p : parameters.all()) before.push_back(p.value.detach().clone());
  fixture::give(parameters, fixture::random_gradients(parameters, 1));
  optimizer.accumulate();
  optimizer.step(1.0, 1);
  for (size_t i = 0; i < before.size(); ++i) {
    const Parameter& parameter = parameters.all()[i];
    EXPECT_EQ(!at::equal(before[i], parameter.value), parameter.name.layer == 1)
        << parameter.name.name;
  }
}

at::Tensor singular_values(const at::Tensor& x) { return std::get<1>(at::linalg_svd(x, false)); }

/// Five iterations bring singular values near one, not to it, and leave the vectors as they are.
TEST(Muon, OrthogonalisesMatrices) {
  at::manual_seed(6);
  for (const auto& [rows, columns] : {std::pair(24, 24), {16, 40}, {56, 20}, {1, 30}, {64, 7}}) {
    const at::Tensor matrix = at::randn({rows, columns}) * 37.0;
    const at::Tensor result = orthogonalise(matrix);
    EXPECT_EQ(result.scalar_type(), at::kFloat);
    const at::Tensor values = singular_values(result);
    const bool is_square = rows == columns;  // whose smallest value may be next to zero
    EXPECT_GT(values.min().item<double>(), is_square ? 0.0 : 0.5) << rows << " x " << columns;
    EXPECT_LT(values.max().item<double>(), 1.4) << rows << " x " << columns;
    const auto [u, s, v] = at::linalg_svd(matrix, false);
    const at::Tensor core = at::mm(at::mm(u.t(), result), v.t());
    const at::Tensor rest = core - at::diag(core.diag());
    EXPECT_LT(rest.abs().max().item<double>(), 0.05) << rows << " x " << columns;
  }
}

TEST(Muon, MovesHiddenMatricesOnly) {
  TrainerSection settings = adamw_settings();
  settings.optimizer = OptimizerKind::muon;
  settings.muon_learning_rate = 0.03;
  settings.weight_decay = 0.1;
  Training run(at::kFloat, settings);
  std::vector<PlainAdamW> plain = plain_optimizers(run);
  std::vector<at::Tensor> expected, momentum;
  for (const Parameter& p : run.parameters.all()) {
    expected.push_back(p.value.detach().clone());
    momentum.push_back(at::zeros_like(expected.back()));
  }
  for (int step = 0; step < 3; ++step) {
    const Gradients gradients = fixture::random_gradients(run.parameters, step);
    run.step({gradients});
    for (size_t i = 0; i < expected.size(); ++i) {
      const Parameter& parameter = run.parameters.all()[i];
      if (parameter.name.layer < 0 || parameter.name.shape.size() < 2) {
        plain[i].step(gradients[i], 1.0);
        EXPECT_LT(plain[i].distance_to(parameter.value), 3e-6) << parameter.name.name;
        continue;
      }
      momentum[i] = 0.95 * momentum[i] + gradients[i];
      const double tall = static_cast<double>(parameter.name.shape[0]) /
                          static_cast<double>(parameter.name.shape[1]);
      expected[i] =
          expected[i] * (1.0 - 0.03 * 0.1) -
          0.03 * std::sqrt(std::max(1.0, tall)) * orthogonalise(gradients[i] + 0.95 * momentum[i]);
      EXPECT_LT(fixture::distance(expected[i], parameter.value), 1e-4) << parameter.name.name;
    }
  }
}

}  // namespace
}  // namespace dms::train
