// config.json (and generation_config.json) to a ModelSpec.

#include "model/spec/config.h"

#include <algorithm>
#include <string>

#include "base/dtype.h"
#include "base/file_status.h"
#include "base/json.h"
#include "dms/error.h"
#include "model/spec/dms_metadata.h"
#include "model/spec/families/family.h"
#include "model/spec/load.h"
#include "model/spec/note.h"
#include "model/spec/quantisation.h"
#include "model/spec/weight_files.h"
#include "model/spec/weight_survey.h"

namespace dms {
namespace {

constexpr const char* kConfigFile = "config.json";
// Weights of a model that this many parameters have would not fit any machine.
constexpr int64_t kMaxParameters = int64_t{1} << 44;

bool is_in_vocabulary(const Json& id, int64_t vocab) {
  return id.is_number_unsigned() ? id.get<uint64_t>() < static_cast<uint64_t>(vocab)
                                 : id.get<int64_t>() >= 0 && id.get<int64_t>() < vocab;
}

/// Adds the ids under `key`. One that no token has (-1 means "none" in many folders) cannot occur:
/// it is left out, and said.
void add_ids(const JsonFields& config,
             const char* key,
             ModelSpec& spec,
             std::vector<int32_t>& ids) {
  const Json* value = config.find(key);
  if (value == nullptr) return;
  const Json list = value->is_array() ? *value : Json::array({*value});
  const std::string where = config.where() + ": " + key;
  for (const Json& id : list) {
    if (!id.is_number_integer()) {
      throw InputError({.where = where,
                        .what = "bad value",
                        .got = quote_json(id),
                        .expected = "a token id or a list of them"});
    }
    if (!is_in_vocabulary(id, spec.vocab)) {
      add_note(spec,
               {.where = where,
                .what = "an id outside the vocabulary is left out",
                .got = id.dump(),
                .expected = "0 to " + std::to_string(spec.vocab - 1)});
    } else if (std::ranges::find(ids, id.get<int32_t>()) == ids.end()) {
      ids.push_back(id.get<int32_t>());
    }
  }
}

void read_token_ids(const JsonFields& config, ModelSpec& spec) {
  add_ids(config, "eos_token_id", spec, spec.eos_ids);
  std::vector<int32_t> bos;
  add_ids(config, "bos_token_id", spec, bos);
  if (!bos.empty()) spec.bos_id = bos.front();
}

/// Tensors say their types themselves, so that a name nobody knows is no reason to refuse them.
void note_unknown_dtype(const JsonFields& config, ModelSpec& spec) {
  const char* key = config.has("dtype") ? "dtype" : "torch_dtype";
  const Json* value = config.find(key);
  if (value == nullptr || *value == "auto") return;
  if (value->is_string() && parse_dtype(value->get<std::string>())) return;
  add_note(spec,
           {.where = config.where() + ": " + key,
            .what = "unknown type: the tensors' own types count",
            .got = quote_json(*value),
            .expected = "float32, float16 or bfloat16"});
}

std::string model_type_list() {
  std::string text;
  for (const std::string_view name : supported_model_types()) {
    text += (text.empty() ? "" : ", ") + std::string(name);
  }
  return text;
}

/// The family of `model_type`; the class that config.json names tells more about an unknown one.
const families::Family& family_of(const JsonFields& config) {
  const std::string model_type = config.string_or("model_type", "");
  const families::Family* family = families::find(model_type);
  if (family != nullptr) return *family;
  std::string got = model_type.substr(0, 60);
  if (const Json* classes = config.find("architectures")) {
    got += (got.empty() ? "" : " and ") + ("architectures " + quote_json(*classes));
  }
  throw InputError({.where = config.where() + ": model_type",
                    .what = model_type.empty() ? "missing" : "unknown model family",
                    .got = got,
                    .expected = "one of " + model_type_list()});
}

void require_folder(const std::filesystem::path& folder) {
  constexpr const char* kExpected = "a folder with config.json and *.safetensors";
  if (!is_folder(folder)) {
    throw InputError({.where = folder.string(),
                      .what = path_exists(folder) ? "is a file" : "no such model folder",
                      .expected = kExpected});
  }
  if (!path_exists(folder / kConfigFile)) {
    throw unusable_folder(folder, "has no config.json", kExpected);
  }
}

void read_generation_config(const std::filesystem::path& folder, ModelSpec& spec) {
  const std::filesystem::path file = folder / "generation_config.json";
  if (!path_exists(file)) return;
  const Json root = read_json_file(file, kMaxConfigBytes);
  add_ids(JsonFields(root, file.string()), "eos_token_id", spec, spec.eos_ids);
}

}  // namespace

ModelSpec spec_of(const JsonFields& config) {
  ModelSpec spec = family_of(config).make_spec(config);
  note_unknown_dtype(config, spec);
  read_token_ids(config, spec);
  if (parameter_count(spec) > kMaxParameters) {
    throw InputError({.where = config.where(),
                      .what = "absurdly large model",
                      .got = std::to_string(parameter_count(spec)) + " parameters",
                      .expected = "at most " + std::to_string(kMaxParameters)});
  }
  return spec;
}

ModelSpec load_spec(const std::filesystem::path& folder, MetadataScope scope) {
  require_folder(folder);
  const std::filesystem::path file = folder / kConfigFile;
  const Json root = read_json_file(file, kMaxConfigBytes);
  const JsonFields config(root, file.string());
  ModelSpec spec = spec_of(config);
  spec.quantisation = read_quantisation(config);
  read_generation_config(folder, spec);
  spec.dms = find_dms_metadata(folder, config, scope);
  survey_weights(folder, spec);
  return spec;
}

void add_end_token(ModelSpec& spec, std::optional<int32_t> id) {
  if (!id || *id >= spec.vocab || std::ranges::find(spec.eos_ids, *id) != spec.eos_ids.end()) {
    return;
  }
  spec.eos_ids.push_back(*id);
}

ModelSpec load_spec_from_config(const std::filesystem::path& config_file) {
  const Json root = read_json_file(config_file, kMaxConfigBytes);
  const JsonFields config(root, config_file.string());
  ModelSpec spec = spec_of(config);
  spec.dms = dms_from_config(config);
  return spec;
}

}  // namespace dms
