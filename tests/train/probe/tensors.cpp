#include "train/probe/tensors.h"

#include "model/spec/safetensors_writer.h"

namespace dms::train::probe {

void write_tensors(const std::filesystem::path& path, const Tensors& tensors) {
  std::vector<TensorDeclaration> declarations;
  std::vector<at::Tensor> values;
  for (const at::ScalarType type : {at::kDouble, at::kFloat}) {  // wider ones first: alignment
    for (const auto& [name, tensor] : tensors) {
      if (!tensor.defined() || (tensor.scalar_type() == at::kDouble) != (type == at::kDouble)) {
        continue;
      }
      values.push_back(tensor.detach().to(type).contiguous());
      declarations.push_back({.name = name,
                              .dtype = type == at::kDouble ? "F64" : "F32",
                              .shape = tensor.sizes().vec()});
    }
  }
  SafetensorsWriter writer(path, declarations);
  for (const at::Tensor& value : values) {
    writer.write({static_cast<const std::byte*>(value.const_data_ptr()), value.nbytes()});
  }
  writer.close();
}

std::vector<Sample> samples_of(const Json& job) {
  std::vector<Sample> samples;
  for (const Json& row : job.at("rows")) {
    const auto ids = row.get<std::vector<int32_t>>();
    samples.push_back({ids, std::vector<uint8_t>(ids.size(), 1)});
  }
  if (job.contains("loss")) {
    for (size_t i = 0; i < samples.size(); ++i) {
      samples[i].loss = job.at("loss").at(i).get<std::vector<uint8_t>>();
    }
  }
  return samples;
}

at::ScalarType type_of(const Json& job) {
  return job.at("dtype") == "f64" ? at::kDouble : at::kFloat;
}

}  // namespace dms::train::probe
