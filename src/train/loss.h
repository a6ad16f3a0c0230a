#pragma once
// The head's product and the losses on its logits, fused: logits exist for a block of tokens at a
// time, and their gradient is taken at once, so that no [tokens, vocab] array is ever whole.

#include <cstdint>

#include "train/config/train_config.h"
#include "train/torch.h"

namespace dms::train {

struct LossOptions {
  KlDirection direction = KlDirection::reverse;
  bool kl_sum = false;         // the sum over the tokens, else their mean
  int64_t vocab_chunk = 4096;  // memory of a block, as if [tokens, vocab_chunk] were held
};

struct KlResult {
  at::Tensor kl;       // scalar, differentiable in student hidden states and head
  at::Tensor lm_loss;  // scalar, detached
};

/// Distillation. Hidden states [tokens, hidden] of student and teacher, their heads [vocab,
/// hidden]; `targets` int64 [tokens], the next token of each, -1: none; `counted` bool [tokens]:
/// tokens whose distribution is compared (neither padding nor EOS inputs). The cross entropy of
/// counted tokens that have a target is taken along.
KlResult distillation_loss(const at::Tensor& student,
                           const at::Tensor& student_head,
                           const at::Tensor& teacher,
                           const at::Tensor& teacher_head,
                           const at::Tensor& targets,
                           const at::Tensor& counted,
                           const LossOptions& options);

/// Mean cross entropy of the tokens whose target is not -1 (0 where there is none); differentiable
/// in hidden states and head.
at::Tensor cross_entropy(const at::Tensor& hidden,
                         const at::Tensor& head,
                         const at::Tensor& targets,
                         const LossOptions& options);

}  // namespace dms::train
