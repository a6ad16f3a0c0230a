#pragma once
// GET /dms/info: what a client may ask of the model and its cache, and what holds where it says
// nothing.

#include "dms/llm.h"
#include "serve/prepared.h"

namespace dms::serve {

/// {model, version, context, layers, kv_heads, kv_bytes_per_token, policy, window, policies,
/// sampling}; policies are those that a request may name alone. Any thread.
OutJson model_report(const LLM& llm, const ServedModel& model, const std::string& version);

}  // namespace dms::serve
