#include "serve/completion_request.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace dms::serve {
namespace {

constexpr const char* kPromptForms = "a string, token ids, or an array of either";
constexpr int64_t kDefaultTokens = 16;  // OpenAI's

Prompt read_prompt(const Fields& body, const OrderedJson& value, const ModelFacts& model) {
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_array()) body.refuse("prompt", value, kPromptForms);
  return read_ids(value, model.vocab, "prompt");
}

std::vector<Prompt> read_prompts(const Fields& body, const ModelFacts& model) {
  const OrderedJson* prompt = body.find("prompt");
  if (prompt == nullptr) body.refuse("prompt", OrderedJson(), kPromptForms);
  const bool is_list = prompt->is_array() && !prompt->empty() &&
                       (prompt->front().is_string() || prompt->front().is_array());
  if (!is_list) return {read_prompt(body, *prompt, model)};
  if (std::ssize(*prompt) > model.limits.prompts) {
    body.refuse("prompt", *prompt, "at most " + std::to_string(model.limits.prompts) + " prompts");
  }
  std::vector<Prompt> prompts;
  for (const OrderedJson& item : *prompt) prompts.push_back(read_prompt(body, item, model));
  return prompts;
}

}  // namespace

std::vector<int32_t> read_ids(const OrderedJson& list, int64_t vocab, const std::string& name) {
  std::vector<int32_t> ids;
  ids.reserve(list.size());
  for (const OrderedJson& item : list) {
    const std::optional<int64_t> id = integer_of(item, 0, vocab - 1);
    if (!id) {
      refuse_value(name + "[" + std::to_string(ids.size()) + "]",
                   item,
                   "a token id, 0 to " + std::to_string(vocab - 1));
    }
    ids.push_back(static_cast<int32_t>(*id));
  }
  return ids;
}

CompletionRequest parse_completion_request(std::string_view body, const ModelFacts& model) {
  const OrderedJson json = parse_body(body, model.limits);
  const Fields fields(json, "");
  CompletionRequest out;
  out.common = read_generation_request(fields, model);
  if (!out.common.max_tokens) out.common.max_tokens = kDefaultTokens;
  out.prompts = read_prompts(fields, model);
  out.echo = fields.boolean("echo").value_or(false);
  out.add_special_tokens = fields.boolean("add_special_tokens").value_or(true);
  if (const auto top = fields.integer("logprobs", 0, model.limits.log_probabilities)) {
    SamplingParams& sampling = out.common.sampling;
    sampling.log_probabilities = *top;
    if (out.echo) {
      sampling.prompt_log_probabilities = std::max(*top, sampling.prompt_log_probabilities);
    }
  }
  return out;
}

}  // namespace dms::serve
