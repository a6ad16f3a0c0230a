#include "train/probe/objective_job.h"

#include "train/given_data.h"
#include "train/models.h"
#include "train/objective.h"

namespace dms::train::probe {
namespace {

/// The trainer's own types end at float32; its mathematics does not.
void widen(Student& student, at::ScalarType type) {
  for (Parameter& parameter : student.parameters().all()) {
    parameter.value = parameter.value.detach().to(type).set_requires_grad(parameter.trained);
  }
}

at::Tensor scalar(double value) { return at::full({}, value, at::kDouble); }

}  // namespace

Tensors run_objective(const Json& job) {
  const TrainConfig config = parse_train_config(job.at("config"), "config", {});
  Student student = load_student(config);
  const std::unique_ptr<Student> teacher = load_teacher(config, student);
  widen(student, type_of(job));
  if (teacher) widen(*teacher, type_of(job));
  const std::vector<Sample> samples = samples_of(job);
  const ModelSpec& spec = student.spec();
  const Batch batch = make_batch(fixture::GivenData(samples, spec.eos_ids), 0, std::ssize(samples));
  const int64_t step = job.at("step");
  const int64_t micro = job.at("micro");
  const MicroResult result = (*make_objective(config, student, teacher.get()))(batch, step, micro);
  result.loss.backward();
  Tensors tensors{{"loss", result.loss},
                  {"kl", scalar(result.kl)},
                  {"lm_loss", scalar(result.lm_loss)},
                  {"fraction_closed", scalar(result.fraction_closed)},
                  {"noise",
                   gumbel_noise(spec,
                                batch.ids.size(0),
                                batch.ids.size(1),
                                config.trainer.seed,
                                step,
                                micro,
                                config.dms.single_noise)}};
  if (result.layer_fraction.defined()) {
    tensors.emplace_back("layer_fraction", result.layer_fraction);
  }
  for (const Parameter& parameter : student.parameters().all()) {
    if (!parameter.trained) continue;
    const at::Tensor gradient = parameter.value.grad();
    tensors.emplace_back("gradient." + parameter.name.name,
                         gradient.defined() ? gradient : at::zeros_like(parameter.value));
  }
  return tensors;
}

}  // namespace dms::train::probe
