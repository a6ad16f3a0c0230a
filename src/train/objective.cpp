#include "train/objective.h"

#include "train/loss.h"
#include "train/schedule.h"

namespace dms::train {
namespace {

LossOptions loss_options(const TrainConfig& config) {
  return {.direction = config.dms.kl,
          .kl_sum = config.dms.kl_sum,
          .vocab_chunk = config.data.process_vocab_using_chunk};
}

class LanguageModelling final : public ObjectiveFunction {
 public:
  LanguageModelling(const TrainConfig& config, const Student& student)
      : config_(config), student_(student) {}

  MicroResult operator()(const Batch& batch, int64_t, int64_t) const override {
    PassOptions options;
    options.checkpointing = config_.trainer.gradient_checkpointing;
    const PassResult pass = student_.forward(batch.ids, batch.lengths, options);
    MicroResult result;
    result.loss = cross_entropy(
        pass.hidden.flatten(0, 1), student_.head(), batch.targets, loss_options(config_));
    result.lm_loss = result.loss.item<double>();
    return result;
  }

 private:
  const TrainConfig& config_;
  const Student& student_;
};

class SparsityDistillation final : public ObjectiveFunction {
 public:
  SparsityDistillation(const TrainConfig& config, const Student& student, const Student* teacher)
      : config_(config), student_(student), teacher_(teacher) {}

  MicroResult operator()(const Batch& batch, int64_t step, int64_t micro) const override {
    const Student& teacher = teacher_ != nullptr ? *teacher_ : student_;
    at::Tensor taught;
    {
      const at::NoGradGuard no_grad;
      taught = teacher.forward(batch.ids, batch.lengths, {}).hidden.flatten(0, 1);
    }
    const PassResult pass =
        student_.forward(batch.ids, batch.lengths, pass_options(batch, step, micro));
    const KlResult distilled = distillation_loss(pass.hidden.flatten(0, 1),
                                                 student_.head(),
                                                 taught,
                                                 teacher.head().detach(),
                                                 batch.targets,
                                                 batch.counted,
                                                 loss_options(config_));
    MicroResult result;
    result.kl = distilled.kl.item<double>();
    result.lm_loss = distilled.lm_loss.item<double>();
    result.loss = distilled.kl;
    if (pass.fraction.defined()) {
      const at::Tensor missing = target_fraction(config_, step) - pass.fraction;
      result.loss = result.loss + missing.clamp_min(0.0).mean();
      result.fraction_closed = pass.fraction.mean().item<double>();
      result.layer_fraction = pass.layer_fraction;
    }
    return result;
  }

 private:
  /// While the borrowed channel fades nothing is evicted: the model learns to do without it first.
  PassOptions pass_options(const Batch& batch, int64_t step, int64_t micro) const {
    PassOptions options;
    options.borrowed = borrowed_left(config_, step);
    options.checkpointing = config_.trainer.gradient_checkpointing;
    if (step < config_.dms.fade_steps) return options;
    options.eviction = PassOptions::Eviction::soft;
    options.gate = {.tau = temperature(config_, step),
                    .shift = config_.dms.decision_shift,
                    .per_layer = config_.dms.per_layer,
                    .soft_fraction = config_.dms.soft_fraction};
    options.noise = gumbel_noise(student_.spec(),
                                 batch.ids.size(0),
                                 batch.ids.size(1),
                                 config_.trainer.seed,
                                 step,
                                 micro,
                                 config_.dms.single_noise)
                        .to(student_.device());
    return options;
  }

  const TrainConfig& config_;
  const Student& student_;
  const Student* teacher_;
};

}  // namespace

std::unique_ptr<ObjectiveFunction> make_objective(const TrainConfig& config,
                                                  const Student& student,
                                                  const Student* teacher) {
  if (config.objective == Objective::lm) {
    return std::make_unique<LanguageModelling>(config, student);
  }
  return std::make_unique<SparsityDistillation>(config, student, teacher);
}

}  // namespace dms::train
