#include "train/loss.h"

#include <algorithm>

#include "train/ops.h"

namespace dms::train {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

constexpr int64_t kLeastRows = 16;

/// Tokens of a block: as many whole rows of logits as fit in [tokens, vocab_chunk].
int64_t block_rows(int64_t tokens, int64_t vocab, int64_t vocab_chunk) {
  return std::clamp(tokens * vocab_chunk / vocab, std::min(kLeastRows, tokens), tokens);
}

at::Tensor logits_of(const at::Tensor& hidden, const at::Tensor& head) {
  return at::mm(hidden, head.t()).to(wide_type(hidden));
}

/// Gradients of a scalar in hidden states and head, gathered block by block.
class HeadGradient {
 public:
  HeadGradient(const at::Tensor& hidden, const at::Tensor& head, bool wants_head)
      : hidden_(at::zeros_like(hidden)), head_(head) {
    if (wants_head) head_gradient_ = at::zeros(head.sizes(), head.options().dtype(wide_type(head)));
  }

  void add(int64_t begin, const at::Tensor& hidden, const at::Tensor& logits_gradient) {
    const at::Tensor narrow = logits_gradient.to(hidden.scalar_type());
    at::Tensor rows = hidden_.slice(0, begin, begin + hidden.size(0));
    at::mm_out(rows, narrow, head_);
    if (head_gradient_.defined()) head_gradient_.add_(at::mm(narrow.t(), hidden));
  }

  const at::Tensor& hidden() const { return hidden_; }
  at::Tensor head() const {
    return head_gradient_.defined() ? head_gradient_.to(head_.scalar_type()) : at::Tensor();
  }

 private:
  at::Tensor hidden_;
  at::Tensor head_;
  at::Tensor head_gradient_;
};

/// Saves gradients that were taken in the forward; the backward only scales them.
void save(AutogradContext* context, const HeadGradient& gradient) {
  context->save_for_backward({gradient.hidden(), gradient.head()});
}

at::Tensor scaled(const at::Tensor& gradient, const at::Tensor& by) {
  return gradient.defined() ? gradient * by.to(gradient.scalar_type()) : gradient;
}

class CrossEntropy : public Function<CrossEntropy> {
 public:
  static at::Tensor forward(AutogradContext* context,
                            const at::Tensor& hidden,
                            const at::Tensor& head,
                            const at::Tensor& targets,
                            int64_t vocab_chunk) {
    const bool wants_gradient = hidden.requires_grad() || head.requires_grad();
    const at::Tensor index = at::nonzero(targets >= 0).squeeze(1);
    const int64_t count = index.size(0);
    at::Tensor sum = at::zeros({}, hidden.options().dtype(wide_type(hidden)));
    HeadGradient gradient(hidden, head, head.requires_grad());
    const int64_t step = block_rows(hidden.size(0), head.size(0), vocab_chunk);
    for (int64_t begin = 0; begin < hidden.size(0); begin += step) {
      const at::Tensor rows = hidden.slice(0, begin, begin + step);
      const at::Tensor target = targets.slice(0, begin, begin + step);
      const at::Tensor real = target >= 0;
      at::Tensor logits = logits_of(rows, head);
      const at::Tensor lse = at::logsumexp(logits, {1}, true);
      const at::Tensor label = target.clamp_min(0).unsqueeze(1);
      const at::Tensor weight = real.to(logits.scalar_type()) / std::max<int64_t>(count, 1);
      sum.add_(((lse - logits.gather(1, label)).squeeze(1) * weight).sum());
      if (!wants_gradient) continue;
      logits.sub_(lse).exp_();
      logits.scatter_add_(1, label, at::full(label.sizes(), -1.0, logits.options()));
      gradient.add(begin, rows, logits.mul_(weight.unsqueeze(1)));
    }
    save(context, gradient);
    return sum;
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const variable_list saved = context->get_saved_variables();
    return {scaled(saved[0], grads[0]), scaled(saved[1], grads[0]), {}, {}};
  }
};

/// Of one block: the weighted sum of its tokens' divergences, and its gradient in student logits.
struct Divergence {
  at::Tensor sum;
  at::Tensor gradient;
};

/// `student` and `teacher` are log-probabilities [rows, vocab]; `weight` [rows].
Divergence divergence(const at::Tensor& student,
                      const at::Tensor& teacher,
                      const at::Tensor& weight,
                      KlDirection direction) {
  const at::Tensor probability = student.exp();
  const at::Tensor scale = weight.unsqueeze(1);
  if (direction == KlDirection::forward) {
    const at::Tensor wanted = teacher.exp();
    const at::Tensor kl = (wanted * (teacher - student)).sum(1);
    return {(kl * weight).sum(), (probability - wanted).mul_(scale)};
  }
  const at::Tensor difference = student - teacher;
  const at::Tensor kl = (probability * difference).sum(1);
  return {(kl * weight).sum(), (probability * (difference - kl.unsqueeze(1))).mul_(scale)};
}

class Distillation : public Function<Distillation> {
 public:
  static variable_list forward(AutogradContext* context,
                               const at::Tensor& student,
                               const at::Tensor& student_head,
                               const at::Tensor& teacher,
                               const at::Tensor& teacher_head,
                               const at::Tensor& targets,
                               const at::Tensor& counted,
                               bool forward_direction,
                               bool kl_sum,
                               int64_t vocab_chunk) {
    const auto direction = forward_direction ? KlDirection::forward : KlDirection::reverse;
    const at::ScalarType wide = wide_type(student);
    const at::Tensor has_target = counted.logical_and(targets >= 0);
    const auto at_least_one = [](const at::Tensor& mask) { return mask.sum().clamp_min(1); };
    at::Tensor kl_weight = counted.to(wide);
    if (!kl_sum) kl_weight = kl_weight / at_least_one(counted);
    const at::Tensor lm_weight = has_target.to(wide) / at_least_one(has_target);
    at::Tensor kl = at::zeros({}, student.options().dtype(wide));
    at::Tensor lm_loss = at::zeros_like(kl);
    HeadGradient gradient(student, student_head, student_head.requires_grad());
    const int64_t step = block_rows(student.size(0), student_head.size(0), vocab_chunk);
    for (int64_t begin = 0; begin < student.size(0); begin += step) {
      const auto block = [&](const at::Tensor& x) { return x.slice(0, begin, begin + step); };
      const at::Tensor log_p =
          at::log_softmax(logits_of(block(student), student_head), 1, std::nullopt);
      const at::Tensor log_q =
          at::log_softmax(logits_of(block(teacher), teacher_head), 1, std::nullopt);
      const Divergence part = divergence(log_p, log_q, block(kl_weight), direction);
      kl.add_(part.sum);
      const at::Tensor label = block(targets).clamp_min(0).unsqueeze(1);
      lm_loss.sub_((log_p.gather(1, label).squeeze(1) * block(lm_weight)).sum());
      gradient.add(begin, block(student), part.gradient);
    }
    save(context, gradient);
    context->mark_non_differentiable({lm_loss});
    return {kl, lm_loss};
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const variable_list saved = context->get_saved_variables();
    variable_list result(9);
    result[0] = scaled(saved[0], grads[0]);
    result[1] = scaled(saved[1], grads[0]);
    return result;
  }
};

}  // namespace

KlResult distillation_loss(const at::Tensor& student,
                           const at::Tensor& student_head,
                           const at::Tensor& teacher,
                           const at::Tensor& teacher_head,
                           const at::Tensor& targets,
                           const at::Tensor& counted,
                           const LossOptions& options) {
  const variable_list out = Distillation::apply(student,
                                                student_head,
                                                teacher,
                                                teacher_head,
                                                targets,
                                                counted,
                                                options.direction == KlDirection::forward,
                                                options.kl_sum,
                                                options.vocab_chunk);
  return {out[0], out[1]};
}

at::Tensor cross_entropy(const at::Tensor& hidden,
                         const at::Tensor& head,
                         const at::Tensor& targets,
                         const LossOptions& options) {
  return CrossEntropy::apply(hidden, head, targets, options.vocab_chunk);
}

}  // namespace dms::train
