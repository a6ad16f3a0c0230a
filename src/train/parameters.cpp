#include "train/parameters.h"

#include <algorithm>

#include "dms/error.h"
#include "train/patterns.h"

namespace dms::train {
namespace {

constexpr int64_t kRowsAtOnce = 4096;  // of float32, while a weight is converted

at::Tensor read(const WeightSource& source,
                const WeightName& weight,
                const at::TensorOptions& options) {
  at::Tensor value = at::empty(weight.shape, options);
  const bool is_vector = weight.shape.size() == 1;
  const int64_t rows = is_vector ? 1 : weight.shape.front();
  const int64_t columns = weight.shape.back();
  const at::Tensor matrix = value.view({rows, columns});
  for (int64_t first = 0; first < rows; first += kRowsAtOnce) {
    const int64_t count = std::min(kRowsAtOnce, rows - first);
    const at::Tensor part = at::empty({count, columns}, at::kFloat);
    source.read_rows(
        weight, first, count, {part.mutable_data_ptr<float>(), static_cast<size_t>(part.numel())});
    matrix.slice(0, first, first + count).copy_(part);
  }
  return value;
}

}  // namespace

Parameters::Parameters(const ModelSpec& spec,
                       const WeightSource& source,
                       at::ScalarType type,
                       at::Device device) {
  const at::ScalarType adapter_type = type == at::kDouble ? at::kDouble : at::kFloat;
  for (const WeightName& weight : weight_names(spec)) {
    index_.emplace(std::pair(weight.role, weight.layer), parameters_.size());
    const at::ScalarType own_type = is_adapter(weight.role) ? adapter_type : type;
    parameters_.push_back(
        {.name = weight, .value = read(source, weight, at::device(device).dtype(own_type))});
  }
}

void Parameters::train(const std::vector<std::string>& patterns) {
  for (const std::string& pattern : patterns) {
    bool any = false;
    for (Parameter& parameter : parameters_) {
      const bool chosen = names_weight(pattern, parameter.name);
      any |= chosen;
      parameter.trained |= chosen;
      parameter.value.set_requires_grad(parameter.trained);
    }
    if (!any) {
      throw InputError({.where = "dms.train",
                        .what = "no weight has such a name",
                        .got = pattern,
                        .expected = "adapter, all, or a pattern of weight names such as "
                                    "model.layers.*.self_attn.*"});
    }
  }
}

const at::Tensor& Parameters::get(WeightRole role, int64_t layer) const {
  static const at::Tensor none;
  const auto it = index_.find({role, layer});
  return it == index_.end() ? none : parameters_[it->second].value;
}

int64_t Parameters::trained_count() const {
  int64_t count = 0;
  for (const Parameter& parameter : parameters_) {
    if (parameter.trained) count += parameter.value.numel();
  }
  return count;
}

}  // namespace dms::train
