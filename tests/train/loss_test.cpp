// Fused losses against the plain ones on whole logits, in float64.

#include "train/loss.h"

#include <gtest/gtest.h>

#include "train/allocation_watch.h"

namespace dms::train {
namespace {

struct Setting {
  int64_t tokens;
  int64_t vocab;
  int64_t chunk;
};

const std::vector<Setting> kSettings{{1, 5, 1}, {7, 33, 4}, {40, 50, 1000}, {65, 131, 17}};

at::Tensor leaf(std::vector<int64_t> shape) {
  return at::randn(shape, at::kDouble).set_requires_grad(true);
}

at::Tensor targets_of(int64_t tokens, int64_t vocab) {
  at::Tensor targets = at::randint(vocab, {tokens}, at::kLong);
  targets.masked_fill_(at::rand({tokens}) < 0.3, -1);
  return targets;
}

double distance(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

TEST(Loss, CrossEntropyEqualsPlain) {
  at::manual_seed(1);
  for (const Setting& s : kSettings) {
    const at::Tensor hidden = leaf({s.tokens, 12});
    const at::Tensor head = leaf({s.vocab, 12});
    const at::Tensor targets = targets_of(s.tokens, s.vocab);
    const at::Tensor ours = cross_entropy(hidden, head, targets, {.vocab_chunk = s.chunk});
    const at::Tensor count = (targets >= 0).sum().clamp_min(1);
    const at::Tensor plain =
        at::nll_loss(
            at::log_softmax(at::mm(hidden, head.t()), 1), targets, {}, at::Reduction::Sum, -1) /
        count;
    EXPECT_LT(distance(ours, plain), 1e-12);
    const auto got = torch::autograd::grad({ours * 3.0}, {hidden, head});
    const auto want = torch::autograd::grad({plain * 3.0}, {hidden, head});
    EXPECT_LT(distance(got[0], want[0]), 1e-12) << s.tokens;
    EXPECT_LT(distance(got[1], want[1]), 1e-12) << s.tokens;
  }
}

TEST(Loss, DistillationEqualsPlain) {
  at::manual_seed(2);
  for (const Setting& s : kSettings) {
    for (const KlDirection direction : {KlDirection::reverse, KlDirection::forward}) {
      for (const bool sum : {false, true}) {
        const at::Tensor student = leaf({s.tokens, 12});
        const at::Tensor head = leaf({s.vocab, 12});
        const at::Tensor teacher = at::randn({s.tokens, 9}, at::kDouble);
        const at::Tensor teacher_head = at::randn({s.vocab, 9}, at::kDouble);
        const at::Tensor targets = targets_of(s.tokens, s.vocab);
        const at::Tensor counted = at::rand({s.tokens}) < 0.8;
        const KlResult ours =
            distillation_loss(student,
                              head,
                              teacher,
                              teacher_head,
                              targets,
                              counted,
                              {.direction = direction, .kl_sum = sum, .vocab_chunk = s.chunk});
        const at::Tensor log_p = at::log_softmax(at::mm(student, head.t()), 1);
        const at::Tensor log_q = at::log_softmax(at::mm(teacher, teacher_head.t()), 1);
        const at::Tensor per_token = direction == KlDirection::reverse
                                         ? (log_p.exp() * (log_p - log_q)).sum(1)
                                         : (log_q.exp() * (log_q - log_p)).sum(1);
        at::Tensor plain = (per_token * counted.to(at::kDouble)).sum();
        if (!sum) plain = plain / counted.sum().clamp_min(1);
        EXPECT_LT(distance(ours.kl, plain), 1e-12);
        const auto got = torch::autograd::grad({ours.kl * 0.5}, {student, head});
        const auto want = torch::autograd::grad({plain * 0.5}, {student, head});
        EXPECT_LT(distance(got[0], want[0]), 1e-12);
        EXPECT_LT(distance(got[1], want[1]), 1e-12);
        const at::Tensor scored = targets.masked_fill(counted.logical_not(), -1);
        const at::Tensor lm = at::nll_loss(log_p, scored, {}, at::Reduction::Sum, -1) /
                              (scored >= 0).sum().clamp_min(1);
        EXPECT_LT(distance(ours.lm_loss, lm), 1e-12);
        EXPECT_FALSE(ours.lm_loss.requires_grad());
      }
    }
  }
}

/// Logits of all tokens would be 16 MB in float32.
TEST(Loss, NeverHoldsTheLogitsOfAllTokens) {
  const at::Tensor hidden = at::randn({1000, 4}, at::kFloat).set_requires_grad(true);
  const at::Tensor head = at::randn({4000, 4}, at::kFloat).set_requires_grad(true);
  const at::Tensor targets = targets_of(1000, 4000);
  const LossOptions options{.vocab_chunk = 100};
  const fixture::AllocationWatch watch;
  cross_entropy(hidden, head, targets, options).backward();
  const at::Tensor taught = at::randn({1000, 4}, at::kFloat);
  distillation_loss(hidden, head, taught, head.detach(), targets, targets >= 0, options)
      .kl.backward();
  EXPECT_LE(watch.largest_bytes(), 1000 * 100 * 4 * 2);
}

}  // namespace
}  // namespace dms::train
