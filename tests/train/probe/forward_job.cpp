#include "train/probe/forward_job.h"

#include "base/npy.h"
#include "model/spec/load.h"
#include "train/batch.h"
#include "train/given_data.h"
#include "train/student.h"

namespace dms::train::probe {
namespace {

Student open_student(const Json& job) {
  const std::string folder = job.at("model");
  ModelSpec spec = load_spec(folder, MetadataScope::with_parent);
  if (job.contains("window")) spec.dms->window = job.at("window");
  Parameters parameters(spec, *open_checkpoint(folder, spec), type_of(job));
  return Student(std::move(spec), std::move(parameters));
}

at::Tensor read_fates(const std::string& path) {
  const NpyBytes array = read_npy_bytes(path);
  at::Tensor fates = at::empty(array.shape, at::kByte);
  std::ranges::copy(array.values, fates.mutable_data_ptr<uint8_t>());
  return fates;
}

PassOptions options_of(const Json& job, const ModelSpec& spec) {
  PassOptions options;
  if (job.at("eviction") == "off") return options;
  options.eviction = PassOptions::Eviction::hard;
  options.gate.shift = spec.dms->decision_shift;
  options.gate.per_layer = spec.dms->per_layer;
  if (job.contains("forced")) options.forced = read_fates(job.at("forced"));
  return options;
}

/// A pass reports only which share of a row's tokens evicts, so one is run for each length.
at::Tensor decisions_of(const Student& student, const at::Tensor& ids, const PassOptions& options) {
  const ModelSpec& spec = student.spec();
  std::vector<at::Tensor> decided;
  at::Tensor before = at::zeros({spec.layers, spec.kv_heads});
  for (int64_t count = 1; count <= ids.size(1); ++count) {
    const PassResult pass = student.forward(ids, at::tensor({count}, at::kLong), options);
    const at::Tensor evicted = (pass.layer_fraction * static_cast<double>(count)).round();
    decided.push_back(evicted - before);
    before = evicted;
  }
  return at::stack(decided, 2);
}

}  // namespace

Tensors run_forward(const Json& job) {
  const at::NoGradGuard no_grad;
  const Student student = open_student(job);
  const std::vector<Sample> samples = samples_of(job);
  const Batch batch = make_batch(fixture::GivenData(samples), 0, std::ssize(samples));
  const PassOptions options = options_of(job, student.spec());
  const PassResult pass = student.forward(batch.ids, batch.lengths, options);
  Tensors tensors{{"logits", at::matmul(pass.hidden, student.head().t())},
                  {"fraction", pass.fraction}};
  if (job.value("decisions", false)) {
    tensors.emplace_back("decisions", decisions_of(student, batch.ids.slice(0, 0, 1), options));
  }
  return tensors;
}

}  // namespace dms::train::probe
