// The student's forward pass against itself: rows alone and padded, recomputed and kept, its own
// decisions and the same ones forced upon it. Against other programs: tests/python/test_train_*.

#include "train/student.h"

#include <gtest/gtest.h>

#include "support/errors.h"
#include "train/tiny_student.h"

namespace dms::train {
namespace {

using fixture::distance;
using fixture::TinyShape;
using Eviction = PassOptions::Eviction;

TinyShape evicting(DmsSource source) {
  return {.qk_norm = source == DmsSource::neuron,
          .dms = DmsSpec{.source = source, .window = 3, .alpha_scale = 10.0, .alpha_offset = 0.2}};
}

PassOptions soft_options(const Student& student, int64_t batch, int64_t tokens) {
  PassOptions options;
  options.eviction = Eviction::soft;
  options.gate.tau = 0.5;
  options.noise = gumbel_noise(student.spec(), batch, tokens, 1, 2, 3, false);
  return options;
}

TEST(Student, PaddingChangesNothing) {
  for (const DmsSource source : {DmsSource::adapter, DmsSource::neuron}) {
    const Student student = fixture::tiny_student(evicting(source), at::kDouble);
    const at::Tensor ids = fixture::random_ids(3, 17, 4);
    const std::vector<int64_t> counts{17, 5, 11};
    const PassOptions options = soft_options(student, 3, 17);
    const PassResult together = student.forward(ids, at::tensor(counts, at::kLong), options);
    for (int64_t row = 0; row < 3; ++row) {
      const int64_t count = counts[static_cast<size_t>(row)];
      PassOptions own = options;
      own.noise = options.noise.slice(1, row, row + 1).slice(3, 0, count);
      const PassResult alone = student.forward(
          ids.slice(0, row, row + 1).slice(1, 0, count), at::tensor({count}, at::kLong), own);
      EXPECT_LT(distance(alone.hidden[0], together.hidden[row].slice(0, 0, count)), 1e-12);
      EXPECT_LT(distance(alone.fraction[0], together.fraction[row]), 1e-12);
    }
  }
}

std::vector<at::Tensor> gradients_of(const Student& student, PassOptions options, bool recomputes) {
  options.checkpointing = recomputes;
  const at::Tensor ids = fixture::random_ids(2, 15, 5);
  const PassResult pass = student.forward(ids, at::tensor({15, 9}, at::kLong), options);
  const at::Tensor loss = pass.hidden.square().sum() + pass.fraction.square().sum();
  std::vector<at::Tensor> leaves;
  for (const Parameter& parameter : student.parameters().all()) {
    if (parameter.name.role != WeightRole::head) leaves.push_back(parameter.value);
  }
  return torch::autograd::grad({loss}, leaves);
}

TEST(Student, RecomputingGivesTheSameGradients) {
  for (const DmsSource source : {DmsSource::adapter, DmsSource::neuron}) {
    const Student student = fixture::tiny_student(evicting(source), at::kDouble);
    const PassOptions options = soft_options(student, 2, 15);
    const std::vector<at::Tensor> kept = gradients_of(student, options, false);
    const std::vector<at::Tensor> recomputed = gradients_of(student, options, true);
    for (size_t i = 0; i < kept.size(); ++i) EXPECT_TRUE(at::equal(kept[i], recomputed[i])) << i;
  }
}

/// Decisions by token, from the shares that passes over 1, 2, 3, … tokens report.
at::Tensor decisions_of(const Student& student, const at::Tensor& ids, const PassOptions& options) {
  std::vector<at::Tensor> decided;
  at::Tensor before = at::zeros({student.spec().layers, student.spec().kv_heads}, at::kDouble);
  for (int64_t count = 1; count <= ids.size(1); ++count) {
    const auto lengths = at::tensor({count}, at::kLong);
    const at::Tensor evicted =
        (student.forward(ids, lengths, options).layer_fraction * static_cast<double>(count))
            .round();
    decided.push_back(evicted - before);
    before = evicted;
  }
  return at::stack(decided, 2);
}

TEST(Student, ForcedFatesThatAreItsOwnChangeNothing) {
  const at::NoGradGuard no_grad;
  for (const DmsSource source : {DmsSource::adapter, DmsSource::neuron}) {
    for (const int64_t shift : {0, 1}) {
      const Student student = fixture::tiny_student(evicting(source), at::kDouble);
      PassOptions options;
      options.eviction = Eviction::hard;
      options.gate.shift = shift;
      const at::Tensor ids = fixture::random_ids(1, 20, 6);
      const at::Tensor lengths = at::tensor({20}, at::kLong);
      const PassResult own = student.forward(ids, lengths, options);
      const at::Tensor decided = decisions_of(student, ids, options);
      ASSERT_GT(decided.mean().item<double>(), 0.1);
      ASSERT_LT(decided.mean().item<double>(), 0.9);
      options.forced = at::constant_pad_nd(decided.slice(2, shift), {0, shift}, 0.0);
      EXPECT_LT(distance(student.forward(ids, lengths, options).hidden, own.hidden), 1e-12);
      options.forced = 1.0 - options.forced;
      EXPECT_GT(distance(student.forward(ids, lengths, options).hidden, own.hidden), 1e-3);
    }
  }
}

TEST(Student, ReportsTheShareOfEveryLayerAndHead) {
  const Student student = fixture::tiny_student(evicting(DmsSource::adapter), at::kDouble);
  const PassResult pass = student.forward(
      fixture::random_ids(2, 12, 7), at::tensor({12, 7}, at::kLong), soft_options(student, 2, 12));
  EXPECT_EQ(pass.layer_fraction.sizes(), (std::vector<int64_t>{2, 2}));
  EXPECT_NEAR(
      pass.layer_fraction.mean().item<double>(), pass.fraction.mean().item<double>(), 1e-14);
  EXPECT_FALSE(pass.layer_fraction.requires_grad());
}

TEST(Student, EvictionOffComputesNoDecisions) {
  TinyShape shape = evicting(DmsSource::adapter);
  const at::Tensor ids = fixture::random_ids(1, 12, 8);
  const at::Tensor lengths = at::tensor({12}, at::kLong);
  const Student student = fixture::tiny_student(shape, at::kDouble);
  const PassResult off = student.forward(ids, lengths, {});
  EXPECT_FALSE(off.fraction.defined());
  shape.dms->disable_eviction = true;
  const Student disabled = fixture::tiny_student(shape, at::kDouble);
  const PassResult soft = disabled.forward(ids, lengths, soft_options(disabled, 1, 12));
  EXPECT_FALSE(soft.fraction.defined());
  EXPECT_TRUE(at::equal(soft.hidden, off.hidden));
}

TEST(Student, RefusesWhatItDoesNotCompute) {
  const auto refused = [](auto&& change) {
    ModelSpec spec = fixture::tiny_spec({});
    Parameters parameters(spec, fixture::NoiseWeights(1), at::kFloat);
    change(spec);
    const std::string text =
        testing_support::input_error([&] { Student(spec, std::move(parameters)); });
    testing_support::expect_parts(text, {"config.json", "llama"});
  };
  refused([](ModelSpec& spec) { spec.position = PositionKind::alibi; });
  refused([](ModelSpec& spec) { spec.attention_soft_cap = 50.0; });
  refused([](ModelSpec& spec) { spec.logit_soft_cap = 30.0; });
  refused([](ModelSpec& spec) { spec.qk_norm_whole = true; });
  refused([](ModelSpec& spec) { spec.qkv_clip = 6.0; });
}

}  // namespace
}  // namespace dms::train
