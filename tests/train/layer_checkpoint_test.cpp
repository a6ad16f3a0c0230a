// A recomputed function is the function: same results, same gradients.

#include "train/layer_checkpoint.h"

#include <gtest/gtest.h>

namespace dms::train {
namespace {

struct Layer {
  at::Tensor weight = at::randn({5, 5}, at::kDouble).requires_grad_(true);
  at::Tensor frozen = at::randn({5, 5}, at::kDouble);
  std::shared_ptr<int> calls = std::make_shared<int>(0);

  LayerFunction function() const {
    return [*this](const at::Tensor& x) {
      ++*calls;
      const at::Tensor inner = at::tanh(at::mm(x, weight));
      return std::vector{x + at::mm(inner, frozen), inner.sum(1)};
    };
  }
};

at::Tensor loss_of(const std::vector<at::Tensor>& outputs) {
  return outputs[0].square().sum() + (outputs[1] * outputs[1]).sum();
}

TEST(LayerCheckpoint, GivesTheSameValuesAndGradients) {
  at::manual_seed(3);
  const Layer layer;
  const at::Tensor x = at::randn({4, 5}, at::kDouble).requires_grad_(true);
  const std::vector<at::Tensor> plain = layer.function()(x);
  const auto wanted = torch::autograd::grad({loss_of(plain)}, {x, layer.weight});
  const std::vector<at::Tensor> outputs = run_checkpointed(layer.function(), {x, layer.weight});
  for (size_t i = 0; i < outputs.size(); ++i) EXPECT_TRUE(at::equal(outputs[i], plain[i]));
  const auto got = torch::autograd::grad({loss_of(outputs)}, {x, layer.weight});
  for (size_t i = 0; i < got.size(); ++i) EXPECT_TRUE(at::equal(got[i], wanted[i])) << i;
}

TEST(LayerCheckpoint, ComputesAgainInTheBackwardOnly) {
  at::manual_seed(4);
  const Layer layer;
  const at::Tensor x = at::randn({4, 5}, at::kDouble);
  const std::vector<at::Tensor> outputs = run_checkpointed(layer.function(), {x, layer.weight});
  EXPECT_EQ(*layer.calls, 1);
  loss_of(outputs).backward();
  EXPECT_EQ(*layer.calls, 2);
  EXPECT_TRUE(layer.weight.grad().defined());
}

TEST(LayerCheckpoint, StacksAndMayIgnoreAnOutput) {
  at::manual_seed(5);
  const Layer first;
  const Layer second;
  const at::Tensor x = at::randn({4, 5}, at::kDouble).requires_grad_(true);
  const std::vector<at::Tensor> leaves{x, first.weight, second.weight};
  const auto plain = second.function()(first.function()(x)[0])[0].square().sum();
  const auto wanted = torch::autograd::grad({plain}, leaves);
  const auto middle = run_checkpointed(first.function(), {x, first.weight})[0];
  const auto outputs = run_checkpointed(second.function(), {middle, second.weight});
  const auto got = torch::autograd::grad({outputs[0].square().sum()}, leaves);
  for (size_t i = 0; i < got.size(); ++i) EXPECT_TRUE(at::equal(got[i], wanted[i])) << i;
}

TEST(LayerCheckpoint, WithoutGradientsNothingIsKept) {
  Layer layer;
  layer.weight.set_requires_grad(false);
  const at::Tensor x = at::randn({4, 5}, at::kDouble);
  const std::vector<at::Tensor> outputs = run_checkpointed(layer.function(), {x});
  EXPECT_FALSE(outputs[0].requires_grad());
}

}  // namespace
}  // namespace dms::train
