// Training attention against the definition: all scores under an explicit mask, in float64, with
// gradients by LibTorch's autograd.

#include "train/attention.h"

#include <cmath>
#include <limits>
#include <random>

#include <gtest/gtest.h>

#include "train/allocation_watch.h"

namespace dms::train {
namespace {

struct Case {
  int64_t batch;
  int64_t kv_heads;
  int64_t group;
  int64_t tokens;
  int64_t head_dim;
  int64_t window;
  int64_t sliding;
  bool bias;
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << "batch " << c.batch << " kv_heads " << c.kv_heads << " group " << c.group
             << " tokens " << c.tokens << " head_dim " << c.head_dim << " window " << c.window
             << " sliding " << c.sliding << " bias " << c.bias;
}

at::Tensor reference(const at::Tensor& q,
                     const at::Tensor& k,
                     const at::Tensor& v,
                     const at::Tensor& bias,
                     const AttentionOptions& options) {
  const int64_t tokens = q.size(2);
  const int64_t group = q.size(1) / k.size(1);
  at::Tensor scores = at::matmul(q, k.repeat_interleave(group, 1).transpose(2, 3)) * options.scale;
  const at::Tensor distance =
      at::arange(tokens, at::kLong).unsqueeze(1) - at::arange(tokens, at::kLong);
  if (bias.defined()) {
    scores = scores + bias.repeat_interleave(group, 1).unsqueeze(2) *
                          (distance > options.window).to(scores.scalar_type());
  }
  at::Tensor hidden = distance < 0;
  if (options.sliding_window > 0) {
    hidden = hidden.logical_or(distance >= options.sliding_window);
  }
  scores = scores.masked_fill(hidden, -std::numeric_limits<double>::infinity());
  return at::matmul(at::softmax(scores, 3), v.repeat_interleave(group, 1));
}

struct Leaves {
  at::Tensor q;
  at::Tensor k;
  at::Tensor v;
  at::Tensor bias;
};

Leaves make_leaves(const Case& c, at::ScalarType type) {
  const auto normal = [&](std::vector<int64_t> shape) {
    return at::randn(shape, at::kDouble).to(type).set_requires_grad(true);
  };
  Leaves leaves{normal({c.batch, c.kv_heads * c.group, c.tokens, c.head_dim}),
                normal({c.batch, c.kv_heads, c.tokens, c.head_dim}),
                normal({c.batch, c.kv_heads, c.tokens, c.head_dim}),
                {}};
  if (c.bias) {
    const at::Tensor z = at::randn({c.batch, c.kv_heads, c.tokens}, at::kDouble) * 20.0;
    const at::ScalarType wide = type == at::kDouble ? at::kDouble : at::kFloat;
    leaves.bias = at::log_sigmoid(z).to(wide).set_requires_grad(true);
  }
  return leaves;
}

using AttentionFn = at::Tensor (*)(const at::Tensor&,
                                   const at::Tensor&,
                                   const at::Tensor&,
                                   const at::Tensor&,
                                   const AttentionOptions&);

/// Output and gradients of a weighted sum of it.
std::vector<at::Tensor> evaluate(AttentionFn f, const Leaves& leaves, const Case& c) {
  const AttentionOptions options{
      1.0 / std::sqrt(static_cast<double>(c.head_dim)), c.window, c.sliding};
  const at::Tensor out = f(leaves.q, leaves.k, leaves.v, leaves.bias, options);
  const at::Tensor weights =
      at::cos(at::arange(out.numel(), at::kDouble)).view(out.sizes()).to(out.scalar_type());
  std::vector<at::Tensor> inputs{leaves.q, leaves.k, leaves.v};
  if (leaves.bias.defined()) inputs.push_back(leaves.bias);
  std::vector<at::Tensor> result =
      torch::autograd::grad({(out * weights).sum()}, inputs, {}, false, false, true);
  for (size_t i = 0; i < result.size(); ++i) {
    if (!result[i].defined()) result[i] = at::zeros_like(inputs[i]);
  }
  result.push_back(out.detach());
  return result;
}

double worst(const std::vector<at::Tensor>& ours, const std::vector<at::Tensor>& theirs) {
  double error = 0.0;
  for (size_t i = 0; i < ours.size(); ++i) {
    const at::Tensor difference = (ours[i].to(at::kDouble) - theirs[i].to(at::kDouble)).abs();
    const double scale = std::max(theirs[i].to(at::kDouble).abs().max().item<double>(), 1.0);
    error = std::max(error, difference.max().item<double>() / scale);
  }
  return error;
}

Case random_case(std::mt19937& rng) {
  const auto pick = [&](std::initializer_list<int64_t> values) {
    return *(values.begin() + std::uniform_int_distribution<size_t>(0, values.size() - 1)(rng));
  };
  return {.batch = pick({1, 2, 3}),
          .kv_heads = pick({1, 2, 3}),
          .group = pick({1, 2, 3, 7, 8}),
          .tokens = pick({1, 2, 31, 63, 64, 65, 127, 128, 129, 130, 200, 257}),
          .head_dim = pick({8, 16, 24, 40, 64, 80, 96}),
          .window = pick({0, 1, 5, 31, 32, 63, 64, 65, 100, 127, 128, 300}),
          .sliding = pick({0, 0, 1, 7, 64, 65, 90, 150}),
          .bias = pick({0, 1, 1}) == 1};
}

TEST(TrainAttention, EqualsExplicitMaskInFloat64) {
  std::mt19937 rng(7);
  at::manual_seed(7);
  for (int round = 0; round < 120; ++round) {
    const Case c = random_case(rng);
    const Leaves leaves = make_leaves(c, at::kDouble);
    const double error = worst(evaluate(attention, leaves, c), evaluate(reference, leaves, c));
    ASSERT_LT(error, 1e-12) << c;
  }
}

/// Reaches beyond one block, where blocks are computed on the keys in place.
TEST(TrainAttention, WideWindowsEqualTheExplicitMask) {
  at::manual_seed(10);
  for (const int64_t tokens : {515, 1024, 1025, 1300}) {
    for (const auto& [window, sliding] :
         {std::pair<int64_t, int64_t>(513, 0), {600, 0}, {3, 520}, {1023, 0}, {5, 1000}}) {
      const Case c{2, 1, 3, tokens, 8, window, sliding, true};
      const Leaves leaves = make_leaves(c, at::kDouble);
      const double error = worst(evaluate(attention, leaves, c), evaluate(reference, leaves, c));
      ASSERT_LT(error, 1e-12) << c;
    }
  }
}

TEST(TrainAttention, LowerPrecisionStaysNear) {
  std::mt19937 rng(8);
  at::manual_seed(8);
  for (int round = 0; round < 40; ++round) {
    const Case c = random_case(rng);
    for (const auto& [type, tolerance] : {std::pair(at::kFloat, 2e-5), {at::kBFloat16, 3e-2}}) {
      const Leaves leaves = make_leaves(c, type);
      Leaves exact;
      const auto widen = [](const at::Tensor& x) {
        return x.defined() ? x.detach().to(at::kDouble).set_requires_grad(true) : x;
      };
      exact = {widen(leaves.q), widen(leaves.k), widen(leaves.v), widen(leaves.bias)};
      const double error = worst(evaluate(attention, leaves, c), evaluate(reference, exact, c));
      ASSERT_LT(error, tolerance) << c << " " << at::toString(type);
    }
  }
}

/// A key whose bias is far below every score is gone: the result is that of leaving it out.
TEST(TrainAttention, HugeNegativeBiasHidesKeys) {
  at::manual_seed(9);
  const Case c{1, 2, 3, 150, 16, 20, 0, true};
  Leaves leaves = make_leaves(c, at::kFloat);
  const at::Tensor evicted = at::rand({1, 2, 150}) > 0.3;
  const auto biased = [&](double value) {
    Leaves copy = leaves;
    copy.bias = (evicted.to(at::kFloat) * value).set_requires_grad(true);
    return evaluate(attention, copy, c).back();
  };
  EXPECT_LT((biased(-1e5) - biased(-200.0)).abs().max().item<double>(), 1e-6);
}

/// No score, mask or bias over tokens x tokens, forward or backward: also where the window is half
/// of the text.
TEST(TrainAttention, NoAllocationGrowsWithTheSquareOfTheLength) {
  constexpr int64_t kBytesPerToken = 2048;
  constexpr int64_t kConstantBytes = 1 << 20;  // less than 2048 x 2048 bits
  for (const int64_t tokens : {2048, 4096, 8192}) {
    for (const auto& [window, sliding] : {std::pair<int64_t, int64_t>(128, 0),
                                          {tokens / 2, 0},
                                          {0, tokens / 2},
                                          {tokens / 4, tokens / 2},
                                          {tokens - 9, 0}}) {
      const Case c{1, 1, 2, tokens, 16, window, sliding, window > 0};
      const Leaves leaves = make_leaves(c, at::kFloat);
      const fixture::AllocationWatch watch;
      evaluate(attention, leaves, c);
      EXPECT_LE(watch.largest_bytes(), tokens * kBytesPerToken + kConstantBytes) << c;
    }
  }
}

}  // namespace
}  // namespace dms::train
