#include "train/models.h"

#include "dms/error.h"
#include "model/spec/load.h"
#include "train/student_source.h"
#include "train/trainable.h"

namespace dms::train {
namespace {

/// What weights kept as `weights` are computed in.
at::ScalarType compute_type(const TrainConfig& config, DType weights) {
  return computes_in_bf16(config, weights) ? at::kBFloat16 : at::kFloat;
}

}  // namespace

Student load_student(const TrainConfig& config, at::Device device) {
  const ModelSpec spec = student_spec(config);
  Parameters parameters(
      spec, *open_base(config, spec), compute_type(config, config.model.dtype), device);
  parameters.train(trained_patterns(config));
  return Student(spec, std::move(parameters));
}

std::unique_ptr<Student> load_teacher(const TrainConfig& config, const Student& student) {
  if (!needs_own_teacher(config, student.spec())) return nullptr;
  const auto& folder = config.model.teacher.empty() ? config.model.name : config.model.teacher;
  ModelSpec spec = load_spec(folder, MetadataScope::with_parent);
  spec.dms.reset();
  if (spec.vocab != student.spec().vocab) {
    throw InputError({.where = folder.string(),
                      .what = "the teacher's vocabulary differs from the student's",
                      .got = std::to_string(spec.vocab),
                      .expected = std::to_string(student.spec().vocab)});
  }
  require_trainable(spec);
  Parameters parameters(spec,
                        *open_checkpoint(folder, spec),
                        compute_type(config, config.model.teacher_dtype),
                        student.device());
  return std::make_unique<Student>(spec, std::move(parameters));
}

}  // namespace dms::train
