// What only a GPU can show: its kernels, its memory and NCCL. Each is skipped where there is none.

#include <gtest/gtest.h>

#include "train/attention.h"
#include "train/communicator.h"
#include "train/device.h"
#include "train/objective.h"
#include "train/optimizer.h"
#include "train/optimizer_fixture.h"

namespace dms::train {
namespace {

class Gpu : public testing::Test {
 protected:
  void SetUp() override {
    if (!at::hasCUDA()) GTEST_SKIP() << "no CUDA device";
  }

  const at::Device gpu_{at::kCUDA, 0};
};

double difference(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor wide = b.cpu().to(at::kDouble);
  const double scale = std::max(1.0, wide.abs().max().item<double>());
  return (a.cpu().to(at::kDouble) - wide).abs().max().item<double>() / scale;
}

/// Output, and gradients of q, k, v and the bias, on `device` as `type`.
std::vector<at::Tensor> attend(at::Device device,
                               at::ScalarType type,
                               const AttentionOptions& options,
                               int64_t tokens,
                               int64_t head_dim) {
  at::manual_seed(11);
  const auto leaf = [&](std::vector<int64_t> shape, at::ScalarType as) {
    return at::randn(shape).to(type).to(device, as).set_requires_grad(true);
  };
  const at::Tensor q = leaf({2, 6, tokens, head_dim}, type);
  const at::Tensor k = leaf({2, 2, tokens, head_dim}, type);
  const at::Tensor v = leaf({2, 2, tokens, head_dim}, type);
  const at::Tensor bias =
      at::log_sigmoid(at::randn({2, 2, tokens}) * 20.0).to(device).set_requires_grad(true);
  const at::Tensor out = attention(q, k, v, bias, options);
  std::vector<at::Tensor> result =
      torch::autograd::grad({out.to(at::kFloat).cos().sum()}, {q, k, v, bias});
  result.push_back(out.detach());
  return result;
}

TEST_F(Gpu, AttentionEqualsTheCpu) {
  for (const auto& [type, tolerance] : {std::pair(at::kFloat, 1e-4), {at::kBFloat16, 3e-2}}) {
    for (const int64_t tokens : {1, 33, 64, 129, 300, 1025}) {
      for (const int64_t head_dim : {20, 64, 128, 256}) {
        for (const auto& [window, sliding] :
             {std::pair<int64_t, int64_t>(0, 0), {64, 0}, {100, 170}, {5000, 0}}) {
          const AttentionOptions options{.scale = 0.1, .window = window, .sliding_window = sliding};
          const auto ours = attend(gpu_, type, options, tokens, head_dim);
          const auto theirs = attend(at::kCPU, type, options, tokens, head_dim);
          for (size_t i = 0; i < ours.size(); ++i) {
            ASSERT_LT(difference(ours[i], theirs[i]), tolerance)
                << at::toString(type) << " tokens " << tokens << " head_dim " << head_dim
                << " window " << window << " sliding " << sliding << " output " << i;
          }
        }
      }
    }
  }
}

/// Hidden states and every weight's gradient after one forward and backward.
std::vector<at::Tensor> pass(at::Device device, at::ScalarType type) {
  const ModelSpec spec = fixture::tiny_spec(
      {.qk_norm = true, .dms = DmsSpec{.source = DmsSource::adapter, .window = 3}});
  Parameters parameters(spec, fixture::NoiseWeights(1), type, device);
  parameters.train({"all"});
  const Student student(spec, std::move(parameters));
  PassOptions options;
  options.eviction = PassOptions::Eviction::soft;
  options.gate.tau = 0.5;
  options.noise = gumbel_noise(spec, 2, 65, 1, 2, 3, false).to(device);
  const at::Tensor ids = fixture::random_ids(2, 65, 5).to(device);
  const at::Tensor lengths = at::tensor({65, 40}, at::kLong).to(device);
  const PassResult result = student.forward(ids, lengths, options);
  (result.hidden.to(at::kFloat).cos().sum() + result.fraction.sum()).backward();
  std::vector<at::Tensor> all{result.hidden.detach()};
  for (const Parameter& parameter : student.parameters().all()) {
    if (parameter.value.grad().defined()) all.push_back(parameter.value.grad());
  }
  return all;
}

TEST_F(Gpu, StudentEqualsTheCpu) {
  const auto ours = pass(gpu_, at::kFloat);
  const auto theirs = pass(at::kCPU, at::kFloat);
  ASSERT_EQ(ours.size(), theirs.size());
  for (size_t i = 0; i < ours.size(); ++i) EXPECT_LT(difference(ours[i], theirs[i]), 1e-4) << i;
}

std::vector<at::Tensor> weights_after_steps(at::Device device, bool offload, OptimizerKind kind) {
  const ModelSpec spec = fixture::tiny_spec({});
  Parameters parameters(spec, fixture::NoiseWeights(1), at::kBFloat16, device);
  parameters.train({"all"});
  TrainerSection settings;
  settings.optimizer = kind;
  settings.learning_rate = 1e-2;
  settings.offload_optimizer = offload;
  const auto alone = make_communicator({}, device);
  Optimizer optimizer(parameters, settings, *alone);
  for (int64_t step = 0; step < 3; ++step) {
    fixture::Gradients gradients = fixture::random_gradients(parameters, step);
    for (at::Tensor& gradient : gradients) gradient = gradient.to(device);
    fixture::give(parameters, gradients);
    optimizer.accumulate();
    optimizer.step(1.0, 1);
  }
  std::vector<at::Tensor> weights;
  for (const Parameter& parameter : parameters.all()) weights.push_back(parameter.value.detach());
  return weights;
}

TEST_F(Gpu, OptimizerEqualsTheCpuHereOrInHostMemory) {
  for (const OptimizerKind kind : {OptimizerKind::adamw, OptimizerKind::muon}) {
    const auto theirs = weights_after_steps(at::kCPU, false, kind);
    for (const bool offload : {false, true}) {
      const auto ours = weights_after_steps(gpu_, offload, kind);
      for (size_t i = 0; i < ours.size(); ++i) EXPECT_LT(difference(ours[i], theirs[i]), 1e-2) << i;
    }
  }
}

/// As torchrun starts one process.
TEST_F(Gpu, NcclAddsUpARankOfOne) {
  const Launch launch{.by = Launch::By::torchrun, .address = "127.0.0.1", .port = 29571};
  const auto ranks = make_communicator(launch, gpu_);
  at::Tensor values = at::arange(5, at::device(gpu_).dtype(at::kFloat));
  ranks->all_reduce_sum(values);
  ranks->reduce_sum(values, 0);
  ranks->broadcast(values, 0);
  EXPECT_TRUE(at::equal(values.cpu(), at::arange(5, at::kFloat)));
  at::Tensor on_cpu = at::full({2}, 7, at::kLong);
  ranks->all_reduce_sum(on_cpu);
  ranks->barrier();
  EXPECT_TRUE(at::equal(on_cpu, at::full({2}, 7, at::kLong)));
}

}  // namespace
}  // namespace dms::train
