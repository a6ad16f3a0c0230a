// config.json (and generation_config.json) to a ModelSpec.

#include <algorithm>
#include <string>

#include "base/file_status.h"
#include "base/json.h"
#include "dms/error.h"
#include "model/spec/dms_metadata.h"
#include "model/spec/families/family.h"
#include "model/spec/load.h"

namespace dms {
namespace {

constexpr int64_t kMaxConfigBytes = int64_t{16} << 20;
// Weights of a model that this many parameters have would not fit any machine.
constexpr int64_t kMaxParameters = int64_t{1} << 44;

void add_ids(const JsonFields& config, const char* key, int64_t vocab, std::vector<int32_t>& ids) {
  const Json* value = config.find(key);
  if (value == nullptr) return;
  const Json list = value->is_array() ? *value : Json::array({*value});
  for (const int32_t id : integer_array(list, vocab - 1, config.where() + ": " + key)) {
    if (std::ranges::find(ids, id) == ids.end()) ids.push_back(id);
  }
}

void read_token_ids(const JsonFields& config, ModelSpec& spec) {
  add_ids(config, "eos_token_id", spec.vocab, spec.eos_ids);
  std::vector<int32_t> bos;
  add_ids(config, "bos_token_id", spec.vocab, bos);
  if (!bos.empty()) spec.bos_id = bos.front();
}

void read_dtype(const JsonFields& config, ModelSpec& spec) {
  const char* key = config.has("dtype") ? "dtype" : "torch_dtype";
  const std::string name = config.string_or(key, "bfloat16");
  const std::optional<DType> type = parse_dtype(name);
  if (!type) {
    throw InputError({.where = config.where() + ": " + key,
                      .what = "unsupported type",
                      .got = name,
                      .expected = "float32, float16 or bfloat16"});
  }
  spec.checkpoint_dtype = *type;
}

std::string model_type_list() {
  std::string text;
  for (const std::string_view name : supported_model_types()) {
    text += (text.empty() ? "" : ", ") + std::string(name);
  }
  return text;
}

/// Everything config.json alone says.
ModelSpec spec_of(const JsonFields& config) {
  const std::string model_type = config.string("model_type");
  const families::Family* family = families::find(model_type);
  if (family == nullptr) {
    throw InputError({.where = config.where() + ": model_type",
                      .what = "unknown model family",
                      .got = model_type,
                      .expected = "one of " + model_type_list()});
  }
  ModelSpec spec = family->make_spec(config);
  read_dtype(config, spec);
  read_token_ids(config, spec);
  if (parameter_count(spec) > kMaxParameters) {
    throw InputError({.where = config.where(),
                      .what = "absurdly large model",
                      .got = std::to_string(parameter_count(spec)) + " parameters",
                      .expected = "at most " + std::to_string(kMaxParameters)});
  }
  return spec;
}

}  // namespace

ModelSpec load_spec(const std::filesystem::path& folder, MetadataScope scope) {
  if (!is_folder(folder)) {
    throw InputError({.where = folder.string(),
                      .what = "no such model folder",
                      .expected = "a folder with config.json and *.safetensors"});
  }
  const std::filesystem::path file = folder / "config.json";
  const Json root = read_json_file(file, kMaxConfigBytes);
  const JsonFields config(root, file.string());
  ModelSpec spec = spec_of(config);
  const std::filesystem::path generation_file = folder / "generation_config.json";
  if (path_exists(generation_file)) {
    const Json generation = read_json_file(generation_file, kMaxConfigBytes);
    add_ids(
        JsonFields(generation, generation_file.string()), "eos_token_id", spec.vocab, spec.eos_ids);
  }
  spec.dms = find_dms_metadata(folder, config, scope);
  return spec;
}

ModelSpec load_spec_from_config(const std::filesystem::path& config_file) {
  const Json root = read_json_file(config_file, kMaxConfigBytes);
  const JsonFields config(root, config_file.string());
  ModelSpec spec = spec_of(config);
  spec.dms = dms_from_config(config);
  return spec;
}

}  // namespace dms
