// Training's gates against the formulas of semantics.md section 2, number by number.

#include "train/gating.h"

#include <cmath>
#include <numbers>
#include <vector>

#include <gtest/gtest.h>

namespace dms::train {
namespace {

double sigmoid(double z) { return 1.0 / (1.0 + std::exp(-z)); }
double log_keep(double z) { return -std::log1p(std::exp(z)); }  // log sigmoid(-z)

/// [1, heads, tokens]
at::Tensor heads(const std::vector<std::vector<double>>& rows) {
  std::vector<at::Tensor> all;
  for (const std::vector<double>& row : rows) all.push_back(at::tensor(row, at::kDouble));
  return at::stack(all).unsqueeze(0);
}

double at_token(const at::Tensor& x, int64_t head, int64_t token) {
  return x[0][head][token].item<double>();
}

const std::vector<std::vector<double>> kLogits{{0.3, -1.2, 2.0, -0.1, 0.7},
                                               {-0.4, 0.9, -3.0, 1.5, 0.2}};
const std::vector<std::vector<double>> kNoise{{0.1, 0.2, -2.5, 0.4, 0.0},
                                              {1.0, -0.3, 0.6, -0.2, 0.1}};

double z_of(int64_t head, int64_t token, double tau) {
  const auto h = static_cast<size_t>(head);
  const auto t = static_cast<size_t>(token);
  return (kLogits[h][t] + kNoise[h][t]) / tau;
}

TEST(Gate, TakesEachFateFromTheDecidingToken) {
  for (const int64_t shift : {0, 1}) {
    const Gates gates = gate(heads(kLogits), heads(kNoise), {.tau = 0.5, .shift = shift});
    for (int64_t head = 0; head < 2; ++head) {
      for (int64_t token = 0; token < 5; ++token) {
        const double z = z_of(head, token, 0.5);
        EXPECT_DOUBLE_EQ(at_token(gates.decisions, head, token), z > 0 ? 1.0 : 0.0);
        if (token + shift > 4) continue;
        EXPECT_NEAR(
            at_token(gates.bias, head, token), log_keep(z_of(head, token + shift, 0.5)), 1e-14);
      }
    }
    EXPECT_EQ(gates.bias.sizes(), heads(kLogits).sizes());
  }
}

TEST(Gate, SinksStayAndTheirDecisionsLearnNothing) {
  for (const int64_t shift : {0, 1}) {
    const GateOptions options{.tau = 0.5, .shift = shift, .sinks = 2};
    const GateOptions without{.tau = 0.5, .shift = shift};
    const at::Tensor logits = heads(kLogits).abs().requires_grad_(true);  // all would go
    const at::Tensor noise = at::zeros_like(logits);
    const Gates gates = gate(logits, noise, options);
    const Gates others = gate(logits, noise, without);
    EXPECT_EQ(gates.bias.slice(2, 0, 2).abs().max().item<double>(), 0.0);
    EXPECT_TRUE(at::equal(gates.bias.slice(2, 2), others.bias.slice(2, 2)));
    EXPECT_EQ(gates.decisions.slice(2, shift, shift + 2).max().item<double>(), 0.0);
    EXPECT_TRUE(
        at::equal(gates.decisions.slice(2, shift + 2), others.decisions.slice(2, shift + 2)));
    const at::Tensor sum = gates.bias.sum() + gates.decisions.sum();
    const at::Tensor gradient = torch::autograd::grad({sum}, {logits})[0];
    EXPECT_EQ(gradient.slice(2, shift, shift + 2).abs().max().item<double>(), 0.0);
    EXPECT_GT(gradient.slice(2, shift + 2).abs().min().item<double>(), 0.0);
    const Gates hard = hard_gate(logits, options);
    EXPECT_EQ(hard.bias.slice(2, 0, 2).abs().max().item<double>(), 0.0);
    EXPECT_LT(hard.bias.slice(2, 2, 5 - shift).max().item<double>(), -1e4);
  }
}

TEST(Gate, DecisionsAreHardForwardAndSoftBackward) {
  for (const bool soft : {false, true}) {
    const double tau = 0.7;
    const at::Tensor logits = heads(kLogits).requires_grad_(true);
    const Gates gates = gate(logits, heads(kNoise), {.tau = tau, .soft_fraction = soft});
    const auto gradient = torch::autograd::grad({gates.decisions.sum()}, {logits})[0];
    for (int64_t head = 0; head < 2; ++head) {
      for (int64_t token = 0; token < 5; ++token) {
        const double z = z_of(head, token, tau);
        const double p = sigmoid(z);
        const double value = soft ? p : (z > 0 ? 1.0 : 0.0);
        EXPECT_NEAR(at_token(gates.decisions, head, token), value, 1e-15);
        EXPECT_NEAR(at_token(gradient, head, token), p * (1.0 - p) / tau, 1e-15);
      }
    }
  }
}

TEST(Gate, BiasFlowsBackToTheDecidingToken) {
  const double tau = 0.7;
  const at::Tensor logits = heads(kLogits).requires_grad_(true);
  const Gates gates = gate(logits, heads(kNoise), {.tau = tau, .shift = 1});
  const auto gradient = torch::autograd::grad({gates.bias.sum()}, {logits})[0];
  for (int64_t head = 0; head < 2; ++head) {
    EXPECT_EQ(at_token(gradient, head, 0), 0.0) << "the first token decides nobody's fate";
    for (int64_t token = 1; token < 5; ++token) {
      EXPECT_NEAR(at_token(gradient, head, token), -sigmoid(z_of(head, token, tau)) / tau, 1e-14);
    }
  }
}

TEST(Gate, OneHeadMayDecideForTheLayer) {
  const at::Tensor logits = heads(kLogits).requires_grad_(true);
  const GateOptions options{.tau = 0.5, .per_layer = true};
  const Gates gates = gate(logits, heads(kNoise), options);
  for (const at::Tensor& x : {gates.bias, gates.decisions}) {
    EXPECT_TRUE(at::equal(x.select(1, 0), x.select(1, 1)));
  }
  const Gates alone = gate(logits, heads(kNoise), {.tau = 0.5});
  EXPECT_TRUE(at::equal(gates.bias.select(1, 0), alone.bias.select(1, 0)));
  const auto gradient = torch::autograd::grad({gates.bias.sum() + gates.decisions.sum()}, {logits});
  EXPECT_EQ(gradient[0].select(1, 1).abs().max().item<double>(), 0.0);
  EXPECT_GT(gradient[0].select(1, 0).abs().min().item<double>(), 0.0);
}

TEST(HardGate, IsTheLimitOfSmallTemperature) {
  for (const int64_t shift : {0, 1}) {
    for (const bool per_layer : {false, true}) {
      const at::Tensor logits = heads(kLogits);
      const GateOptions options{.tau = 1e-7, .shift = shift, .per_layer = per_layer};
      const Gates soft = gate(logits, at::zeros_like(logits), options);
      const Gates hard = hard_gate(logits, options);
      EXPECT_TRUE(at::equal(soft.decisions, hard.decisions));
      const int64_t decided = 5 - shift;
      EXPECT_TRUE(
          at::equal(soft.bias.slice(2, 0, decided).exp(), hard.bias.slice(2, 0, decided).exp()));
      EXPECT_TRUE(hard.bias.isfinite().all().item<bool>());
    }
  }
}

TEST(HardGate, KeepsAtZero) {
  const Gates gates = hard_gate(at::zeros({1, 1, 3}), {.shift = 0});
  EXPECT_EQ(gates.decisions.sum().item<double>(), 0.0);
  EXPECT_EQ(gates.bias.abs().sum().item<double>(), 0.0);
}

ModelSpec noisy_spec() {
  ModelSpec spec;
  spec.layers = 4;
  spec.kv_heads = 4;
  return spec;
}

at::Tensor noise(uint64_t seed, int64_t step, int64_t micro, bool single = false) {
  return gumbel_noise(noisy_spec(), 2, 128, seed, step, micro, single);
}

TEST(GumbelNoise, DependsOnSeedStepAndMicroBatchOnly) {
  const at::Tensor first = noise(42, 7, 3);
  EXPECT_EQ(first.sizes(), (std::vector<int64_t>{4, 2, 4, 128}));
  at::manual_seed(1);
  EXPECT_TRUE(at::equal(first, noise(42, 7, 3)));
  for (const at::Tensor& other : {noise(43, 7, 3),
                                  noise(42, 8, 3),
                                  noise(42, 7, 4),
                                  noise(42, 3, 7),
                                  noise(7, 42, 3),
                                  noise(42, 7, 3, true)}) {
    EXPECT_EQ((other == first).sum().item<int64_t>(), 0);
  }
}

TEST(GumbelNoise, DiffersAcrossStepsWithinARun) {
  std::vector<double> firsts;
  for (int64_t step = 0; step < 40; ++step) {
    for (int64_t micro = 0; micro < 8; ++micro) {
      firsts.push_back(noise(0, step, micro).flatten()[0].item<double>());
    }
  }
  std::ranges::sort(firsts);
  EXPECT_EQ(std::ranges::adjacent_find(firsts), firsts.end());
}

struct Moments {
  double mean;
  double variance;
};

Moments moments_of(const at::Tensor& x) {
  const at::Tensor wide = x.to(at::kDouble);
  return {wide.mean().item<double>(), wide.var(true).item<double>()};
}

at::Tensor many(bool single) {
  return gumbel_noise(noisy_spec(), 4, 4096, 5, 0, 0, single).flatten();
}

/// Gumbel(0, 1): mean Euler's constant, variance pi^2 / 6, median -log(log 2).
TEST(GumbelNoise, SingleSampleIsGumbel) {
  const at::Tensor x = many(true);
  const Moments moments = moments_of(x);
  EXPECT_NEAR(moments.mean, std::numbers::egamma, 0.012);
  EXPECT_NEAR(moments.variance, std::numbers::pi * std::numbers::pi / 6.0, 0.03);
  EXPECT_NEAR((x <= 0.0).to(at::kDouble).mean().item<double>(), std::exp(-1.0), 0.005);
}

/// The difference of two is logistic: mean 0, variance pi^2 / 3, quartiles at +-log 3.
TEST(GumbelNoise, PairIsLogistic) {
  const at::Tensor x = many(false);
  const Moments moments = moments_of(x);
  EXPECT_NEAR(moments.mean, 0.0, 0.02);
  EXPECT_NEAR(moments.variance, std::numbers::pi * std::numbers::pi / 3.0, 0.06);
  for (const double side : {-1.0, 1.0}) {
    EXPECT_NEAR((x * side > std::log(3.0)).to(at::kDouble).mean().item<double>(), 0.25, 0.005);
  }
  EXPECT_TRUE(x.isfinite().all().item<bool>());
}

}  // namespace
}  // namespace dms::train
