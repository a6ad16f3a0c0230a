#include "train/trainer.h"

#include <chrono>
#include <cmath>
#include <string>
#include <vector>

#include "dms/error.h"
#include "train/agreement.h"
#include "train/checkpoint_io.h"
#include "train/config/differences.h"
#include "train/interrupt.h"
#include "train/schedule.h"

namespace dms::train {

/// Sums over micro-batches, in one array so that ranks add them up in one call.
struct Trainer::Totals {
  enum Field { loss, kl, lm_loss, fraction, tokens, interrupted, failed, fields };
  at::Tensor values;  // float64 [fields + layers x kv_heads], the latter: shares evicted

  explicit Totals(int64_t heads) : values(at::zeros({fields + heads}, at::kDouble)) {}
  double operator[](Field field) const { return values[field].item<double>(); }
  void add(Field field, double value) { values[field] += value; }
};

Trainer::Trainer(const TrainConfig& config,
                 const PreparedData& data,
                 Communicator& ranks,
                 at::Device device)
    : config_(config),
      data_(data),
      ranks_(ranks),
      student_(load_student(config, device)),
      teacher_(load_teacher(config, student_)),
      objective_(make_objective(config_, student_, teacher_.get())),
      optimizer_(student_.parameters(), config_.trainer, ranks_) {}

std::vector<std::string> Trainer::resume(const CheckpointFolder& folder) {
  const TrainState state = load_checkpoint(folder, optimizer_, ranks_);
  if (state.seed != config_.trainer.seed) {
    throw InputError({.where = folder.path.string(),
                      .what = "was made with another hf_trainer.seed",
                      .got = std::to_string(state.seed),
                      .expected = std::to_string(config_.trainer.seed)});
  }
  step_ = state.step;
  samples_ = state.samples;
  saved_step_ = state.step;
  return notes_since_checkpoint(state.config, config_.source);
}

Trainer::Totals Trainer::accumulate() {
  const ModelSpec& spec = student_.spec();
  const TrainerSection& trainer = config_.trainer;
  Totals totals(spec.layers * spec.kv_heads);
  for (int64_t i = 0; i < trainer.accumulation_steps; ++i) {
    const int64_t micro = i * ranks_.size() + ranks_.rank();
    const int64_t first = samples_ + micro * trainer.batch_size;
    const Batch batch = make_batch(data_, first, trainer.batch_size).to(student_.device());
    const MicroResult result = (*objective_)(batch, step_, micro);
    result.loss.backward();
    optimizer_.accumulate();
    totals.add(Totals::loss, result.loss.item<double>());
    totals.add(Totals::kl, result.kl);
    totals.add(Totals::lm_loss, result.lm_loss);
    totals.add(Totals::fraction, result.fraction_closed);
    totals.add(Totals::tokens, static_cast<double>(batch.tokens));
    if (result.layer_fraction.defined()) {
      totals.values.slice(0, Totals::fields).add_(result.layer_fraction.flatten().cpu());
    }
  }
  totals.add(Totals::interrupted, InterruptGuard::signal() != 0 ? 1.0 : 0.0);
  return totals;
}

/// Means over micro-batches and ranks; tokens, interruptions and failures stay sums.
Trainer::Totals Trainer::reduce(const Totals& own) const {
  Totals all = own;
  ranks_.all_reduce_sum(all.values);
  const at::Tensor sums = all.values.clone();
  all.values.div_(static_cast<double>(config_.trainer.accumulation_steps * ranks_.size()));
  for (const auto field : {Totals::tokens, Totals::interrupted, Totals::failed}) {
    all.values[field] = sums[field];
  }
  return all;
}

StepMetrics Trainer::metrics_of(const Totals& totals, double gradient_norm, double seconds) const {
  const double tokens = totals[Totals::tokens];
  StepMetrics metrics{.step = step_ + 1,
                      .loss = totals[Totals::loss],
                      .lm_loss = totals[Totals::lm_loss],
                      .lr = config_.trainer.learning_rate * lr_factor(config_.trainer, step_),
                      .grad_norm = gradient_norm,
                      .tok_s = tokens / seconds,
                      .tokens = static_cast<int64_t>(tokens)};
  if (config_.objective == Objective::dms) {
    const double closed = totals[Totals::fraction];
    metrics.kl = totals[Totals::kl];
    metrics.target_fraction = target_fraction(config_, step_);
    metrics.fraction_closed = closed;
    metrics.cr = 1.0 / std::max(1.0 - closed, 1e-6);
    metrics.target_cr = compression_ratio(config_, step_);
  }
  return metrics;
}

/// Empty where nothing is evicted.
Retention Trainer::retention_of(const Totals& totals) const {
  if (config_.objective != Objective::dms) return {};
  Retention kept(static_cast<size_t>(student_.spec().layers));
  const at::Tensor evicted = totals.values.slice(0, Totals::fields);
  for (int64_t i = 0; i < evicted.numel(); ++i) {
    const auto layer = static_cast<size_t>(i / student_.spec().kv_heads);
    kept[layer].push_back(1.0 - evicted[i].item<double>());
  }
  return kept;
}

void Trainer::save(const TrainerEvents& events, bool prunes) {
  const TrainerSection& trainer = config_.trainer;
  TrainState state{
      .step = step_, .samples = samples_, .seed = trainer.seed, .config = config_.source};
  if (student_.spec().dms) state.sinks = student_.spec().dms->sinks;
  const std::filesystem::path path = save_checkpoint(trainer.output_dir, state, optimizer_, ranks_);
  saved_step_ = step_;
  all_or_none(ranks_, [&] {
    if (ranks_.rank() != 0) return;
    if (prunes) prune_checkpoints(trainer.output_dir, trainer.save_total_limit);
    if (events.on_save) events.on_save(path);
  });
}

void Trainer::refuse_nonfinite(double loss, double gradient_norm, const TrainerEvents& events) {
  if (std::isfinite(loss) && std::isfinite(gradient_norm)) return;
  if (saved_step_ != step_) save(events, /*prunes=*/false);  // it may be ruined already
  throw RunError(
      {.where = "step " + std::to_string(step_ + 1),
       .what = std::isfinite(loss) ? "the gradient is not finite" : "the loss is not finite",
       .got = std::to_string(std::isfinite(loss) ? gradient_norm : loss),
       .hint = "the state before this step is saved; resume from it or from an earlier checkpoint "
               "with a lower learning rate or max_grad_norm"});
}

/// This rank's share of a step added to that of the others. `failure`: what this rank has met since
/// it last met the others; it and what its own share meets ends all of them.
Trainer::Totals Trainer::accumulate_together(std::exception_ptr failure) {
  Totals own(student_.spec().layers * student_.spec().kv_heads);
  if (!failure) failure = failure_of([&] { own = accumulate(); });
  if (failure) own.add(Totals::failed, 1.0);
  const Totals totals = reduce(own);
  if (totals[Totals::failed] > 0.0) agree(ranks_, failure);
  return totals;
}

TrainerEnd Trainer::run(const TrainerEvents& events) {
  const InterruptGuard guard;
  const TrainerSection& trainer = config_.trainer;
  std::exception_ptr failure;
  while (step_ < trainer.max_steps) {
    const auto begin = std::chrono::steady_clock::now();
    const Totals totals = accumulate_together(failure);
    refuse_nonfinite(totals[Totals::loss], 0.0, events);
    const double norm = optimizer_.step(lr_factor(trainer, step_), trainer.accumulation_steps);
    refuse_nonfinite(0.0, norm, events);
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
    const StepMetrics metrics = metrics_of(totals, norm, elapsed.count());
    ++step_;
    samples_ += trainer.accumulation_steps * ranks_.size() * trainer.batch_size;
    failure = failure_of([&] {
      if (ranks_.rank() == 0 && events.on_step) events.on_step(metrics, retention_of(totals));
    });
    const bool stops = totals[Totals::interrupted] > 0.0;
    const bool is_due = trainer.save_steps > 0 && step_ % trainer.save_steps == 0;
    if (is_due || stops || step_ == trainer.max_steps) {
      agree(ranks_, failure);
      save(events);
    }
    if (stops) return TrainerEnd::interrupted;
  }
  return TrainerEnd::finished;
}

}  // namespace dms::train
