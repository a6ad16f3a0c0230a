#pragma once
// ModelSpec in the words of the public API.

#include "dms/llm.h"
#include "model/spec/generation_config.h"
#include "model/spec/model_spec.h"

namespace dms::llm {

ModelInfo make_model_info(const ModelSpec& spec, const GenerationConfig& generation);

}  // namespace dms::llm
