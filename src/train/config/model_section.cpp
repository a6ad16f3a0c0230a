#include <array>

#include "train/config/sections.h"

namespace dms::train::config {
namespace {

void read_dtype(yaml::Fields& fields, std::string_view key, DType& target) {
  if (!fields.has(key)) return;
  std::string name;
  fields.text(key, name);
  const std::optional<DType> read = parse_dtype(name);
  if (!read || *read == DType::f16) fields.refuse(key, "bad value", "float32 or bfloat16");
  target = *read;
}

}  // namespace

void read_model_section(yaml::Fields fields, TrainConfig& config) {
  constexpr std::array<std::string_view, 2> ignored{"forward_fn_kwargs",
                                                    "teacher_forward_fn_kwargs"};
  ModelSection& model = config.model;
  fields.path("name", model.name);
  read_dtype(fields, "dtype", model.dtype);
  model.teacher_dtype = model.dtype;
  fields.path("teacher_name", model.teacher);
  read_dtype(fields, "teacher_dtype", model.teacher_dtype);
  fields.boolean("from_scratch", model.from_scratch);
  fields.ignore(ignored, config.notes);
  fields.finish();

  if (model.name.empty()) fields.refuse("name", "missing", "a Hugging Face folder");
  if (model.teacher.empty()) model.teacher = model.name;
  const bool is_student = model.teacher == model.name && model.teacher_dtype == model.dtype;
  if (is_student) model.teacher.clear();
}

}  // namespace dms::train::config
