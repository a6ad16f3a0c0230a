#include "serve/model_report.h"

#include <string>
#include <string_view>

namespace dms::serve {
namespace {

/// What a request comes to that says nothing but `dms`.
GenerationRequest request_with(OrderedJson dms, const ModelFacts& model) {
  const OrderedJson body{{"dms", std::move(dms)}};
  return read_generation_request(Fields(body, ""), model);
}

/// Whether the model has what the policy needs: an adapter, one RoPE, a window.
bool may_name(std::string_view policy, const LLM& llm, const ModelFacts& model) {
  try {
    llm.check(request_with({{"policy", policy}}, model).cache);
    return true;
  } catch (const ApiError&) {
    return false;
  } catch (const InputError&) {
    return false;
  }
}

}  // namespace

OutJson model_report(const LLM& llm, const ServedModel& model, const std::string& version) {
  const ModelFacts& facts = model.facts;
  const GenerationRequest request = request_with(OrderedJson::object(), facts);
  const SamplingParams& sampling = request.sampling;
  OutJson policies = OutJson::array();
  for (const std::string_view name : policy_names()) {
    if (may_name(name, llm, facts)) policies.push_back(name);
  }
  const std::string& policy = request.cache.policy;
  return {{"model", facts.names.front()},
          {"version", version},
          {"context", facts.context},
          {"layers", llm.info().layers},
          {"kv_heads", llm.info().kv_heads},
          {"kv_bytes_per_token", llm.info().kv_bytes_per_token},
          {"policy", policy.empty() ? llm.info().policy : policy},
          {"window", llm.check(request.cache).window_tokens},
          {"policies", std::move(policies)},
          {"sampling",
           {{"temperature", sampling.temperature},
            {"top_p", sampling.top_p},
            {"top_k", sampling.top_k},
            {"min_p", sampling.min_p},
            {"repetition_penalty", sampling.repetition_penalty}}}};
}

}  // namespace dms::serve
