// Drives the writers for the tests in Python: reads one JSON job from standard input.
//   {"write": "student", "base", "out", "dms": {keys of config.json}, "dtype", "max_shard_bytes",
//    "adapter": folder or null}
//   {"write": "adapter", "student", "out"}
//   {"write": "tensors", "out", "dtype", "values": {name: [numbers]}}
// Prints {"notes"} or {"error"}.

#include <iostream>
#include <iterator>
#include <string>

#include "base/json.h"
#include "dms/error.h"
#include "model/spec/adapter.h"
#include "model/spec/dms_metadata.h"
#include "model/spec/load.h"
#include "model/spec/safetensors_writer.h"
#include "train/export/adapter_folder.h"
#include "train/export/student_folder.h"

namespace {

using dms::Json;

Json write_student(const Json& job) {
  const std::string base = job.at("base");
  dms::train::StudentOptions options{.dtype = *dms::parse_dtype(job.at("dtype").get<std::string>()),
                                     .max_shard_bytes = job.at("max_shard_bytes")};
  dms::ModelSpec spec = dms::load_spec(base, dms::MetadataScope::with_parent);
  std::unique_ptr<dms::WeightSource> source = dms::open_checkpoint(base, spec);
  if (job.contains("adapter")) {
    const std::string adapter = job.at("adapter");
    dms::apply_adapter(adapter, spec);
    source = dms::layer_weights(std::move(source), dms::open_adapter(adapter, spec));
    options.dms = spec.dms;
  } else if (job.contains("dms")) {
    options.dms = dms::dms_from_config(dms::JsonFields(job.at("dms"), "dms"));
  }
  const std::string out = job.at("out");
  return {{"notes", dms::train::write_student_folder(base, out, options, *source)}};
}

Json write_adapter(const Json& job) {
  const std::string student = job.at("student");
  const dms::ModelSpec spec = dms::load_spec(student, dms::MetadataScope::with_parent);
  const std::string out = job.at("out");
  dms::train::write_adapter_folder(out, spec, 0.1, *dms::open_checkpoint(student, spec));
  return {{"notes", Json::array()}};
}

Json write_tensors(const Json& job) {
  std::vector<dms::TensorDeclaration> tensors;
  for (const auto& [name, values] : job.at("values").items()) {
    tensors.push_back(
        {.name = name, .dtype = job.at("dtype"), .shape = {static_cast<int64_t>(values.size())}});
  }
  dms::SafetensorsWriter writer(job.at("out").get<std::string>(), tensors);
  for (const Json& values : job.at("values")) {
    writer.write_floats(values.get<std::vector<float>>());
  }
  writer.close();
  return {{"notes", Json::array()}};
}

Json answer(const Json& job) {
  try {
    const std::string kind = job.at("write");
    if (kind == "student") return write_student(job);
    return kind == "adapter" ? write_adapter(job) : write_tensors(job);
  } catch (const dms::Error& error) {
    return {{"error", error.what()}};
  }
}

}  // namespace

int main() {
  const std::string text(std::istreambuf_iterator<char>(std::cin), {});
  std::cout << answer(dms::parse_json(text, "standard input")).dump() << "\n";
  return 0;
}
