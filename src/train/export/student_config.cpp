#include "train/export/student_config.h"

#include <string>

#include "train/export/dms_keys.h"

namespace dms::train {
namespace {

std::string torch_name(DType type) {
  switch (type) {
    case DType::f32:
      return "float32";
    case DType::bf16:
      return "bfloat16";
    case DType::f16:
      return "float16";
  }
  return "?";
}

/// The classes of NVIDIA's two files, by transformers' names of what they are.
Json nvidia_auto_map() {
  const std::string model = "modeling_qwen3_dms.Qwen3";
  return {{"AutoConfig", "configuration_qwen3_dms.Qwen3ConfigDMS"},
          {"AutoModel", model + "ModelDMS"},
          {"AutoModelForCausalLM", model + "ForCausalLMDMS"},
          {"AutoModelForQuestionAnswering", model + "ForQuestionAnsweringDMS"},
          {"AutoModelForSequenceClassification", model + "ForSequenceClassificationDMS"},
          {"AutoModelForTokenClassification", model + "ForTokenClassificationDMS"}};
}

/// transformers 5 writes `dtype`, 4 wrote `torch_dtype`; both read the older one.
void set_dtype(DType type, Json& config) {
  const bool has_new = config.contains("dtype");
  if (has_new) config["dtype"] = torch_name(type);
  if (!has_new || config.contains("torch_dtype")) config["torch_dtype"] = torch_name(type);
}

}  // namespace

bool runs_in_nvidia_code(std::string_view model_type, const std::optional<DmsSpec>& dms) {
  return model_type == "qwen3" && dms && !has_fastdms_form(*dms) && dms->decision_shift == 1 &&
         !dms->alpha_bias && dms->sinks == 0;
}

Json student_config(const Json& base, const StudentConfigOptions& options) {
  Json config = base;
  remove_dms_keys(config);
  set_dtype(options.dtype, config);
  const Json map = nvidia_auto_map();
  if (config.contains("auto_map") && config["auto_map"] == map) config.erase("auto_map");
  if (!options.dms) return config;
  if (!has_fastdms_form(*options.dms)) {
    add_dms_keys(*options.dms, options.tau, config);
  } else if (options.dms->decision_shift != 0) {
    config["dms_decision_shift"] = options.dms->decision_shift;
  }
  if (runs_in_nvidia_code(config.value("model_type", ""), options.dms)) {
    config.erase("architectures");
    config["auto_map"] = map;
  }
  return config;
}

}  // namespace dms::train
