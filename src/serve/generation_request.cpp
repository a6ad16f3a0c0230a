#include "serve/generation_request.h"

#include <algorithm>
#include <array>
#include <limits>
#include <string_view>

#include "serve/sampling_fields.h"
#include "serve/structure_fields.h"
#include "serve/unsupported_fields.h"

namespace dms::serve {
namespace {

constexpr int64_t kMostTokens = std::numeric_limits<int32_t>::max();
constexpr int64_t kMostPriority = 1000;
constexpr size_t kMostPolicyArgs = 64;
constexpr std::array<std::string_view, 6> kOurs{
    "policy", "policy_args", "window", "speculate", "report", "document"};

/// {"cr": 8}: texts, numbers and booleans.
std::map<std::string, std::string> read_policy_args(const Fields& fields) {
  std::map<std::string, std::string> out;
  const OrderedJson* args = fields.object("policy_args");
  if (args == nullptr) return out;
  if (args->size() > kMostPolicyArgs) fields.refuse("policy_args", *args, "fewer settings");
  const Fields each(*args, fields.name_of("policy_args"));
  for (const auto& [key, value] : args->items()) {
    if (value.is_structured() || value.is_null()) {
      each.refuse(key, value, "a string, a number, true or false");
    }
    out[key] = value.is_string() ? value.get<std::string>() : json_text(value);
  }
  return out;
}

/// Its cache is as the document's was made.
void read_document_name(const Fields& fields, GenerationRequest& out) {
  out.document = fields.text("document").value_or("");
  if (out.document.empty()) return;
  for (const char* key : {"policy", "policy_args", "window"}) {
    const OrderedJson* given = fields.find(key);
    if (given != nullptr) fields.refuse(key, *given, "none with a document, which has its own");
  }
}

/// llama.cpp's: -1 is any, and so none of ours.
void read_slot(const Fields& body, const ModelFacts& model, GenerationRequest& out) {
  const auto slot = body.integer("id_slot", -1, model.slots - 1);
  if (slot.value_or(-1) >= 0) out.slot = slot;
}

/// Ours: {"dms": {"policy": "streaming", "policy_args": {…}, "window": 128, "speculate": 8,
/// "report": true, "document": "name"}}.
void read_extensions(const Fields& body, GenerationRequest& out) {
  const OrderedJson* given = body.object("dms");
  if (given == nullptr) return;
  const Fields fields(*given, "dms");
  for (const auto& [key, value] : given->items()) {
    if (std::ranges::find(kOurs, key) == kOurs.end()) {
      fields.refuse(key, value, "policy, policy_args, window, speculate, report or document");
    }
  }
  read_cache(fields, out.cache);
  read_document_name(fields, out);
  const auto speculate = fields.integer("speculate", 0, kMostSpeculated);
  out.reports_memory = fields.boolean("report").value_or(false);
  if (speculate) out.sampling.speculate = *speculate;
}

std::optional<int64_t> read_max_tokens(const Fields& body) {
  const auto newer = body.integer("max_completion_tokens", 0, kMostTokens);
  const auto older = body.integer("max_tokens", 0, kMostTokens);
  return newer ? newer : older;
}

void read_stream(const Fields& body, GenerationRequest& out) {
  out.stream = body.boolean("stream").value_or(false);
  const OrderedJson* options = body.object("stream_options");
  if (options == nullptr) return;
  if (!out.stream) body.refuse("stream_options", *options, "stream to be true with it");
  out.include_usage = Fields(*options, "stream_options").boolean("include_usage").value_or(false);
}

}  // namespace

void read_cache(const Fields& fields, CacheOptions& out) {
  if (const auto policy = fields.text("policy")) {
    const auto names = policy_names();
    // Decisions come from a file, and requests name none.
    if (*policy == "forced" || std::ranges::find(names, *policy) == names.end()) {
      fields.refuse("policy", *policy, "a policy that needs no file, as none, dms or streaming");
    }
    if (*policy != out.policy) {
      out.policy_args.clear();
      out.decisions_file.clear();
      out.window_tokens = std::nullopt;
    }
    out.policy = *policy;
  }
  if (fields.find("policy_args") != nullptr) out.policy_args = read_policy_args(fields);
  if (const auto window = fields.integer("window", 0, kMostTokens)) out.window_tokens = *window;
}

std::string read_model_name(const Fields& body, const ModelFacts& model) {
  const std::string name = body.text("model").value_or("");
  if (name.empty()) return model.names.front();
  if (std::ranges::find(model.names, name) != model.names.end()) return name;
  throw unknown_model(name, model);
}

ApiError unknown_model(const std::string& name, const ModelFacts& model) {
  constexpr size_t kLongest = 200;
  const InputError error({.field = "model",
                          .what = "is not served here",
                          .got = name.substr(0, kLongest),
                          .expected = model.names.front()});
  return {404, error.what(), "model", "model_not_found"};
}

GenerationRequest read_generation_request(const Fields& body, const ModelFacts& model) {
  GenerationRequest out;
  out.model = read_model_name(body, model);
  refuse_unsupported(body);
  out.sampling = read_sampling(body, model);
  out.sampling.structure = read_structure(body);
  out.is_seeded = body.find("seed") != nullptr;
  out.cache = model.cache;
  read_extensions(body, out);
  out.max_tokens = read_max_tokens(body);
  out.answers = body.integer("n", 1, model.limits.answers).value_or(1);
  // vLLM's lower numbers go first.
  out.priority = -body.integer("priority", -kMostPriority, kMostPriority).value_or(0);
  read_stream(body, out);
  read_slot(body, model, out);
  const auto prompt_logprobs = body.integer("prompt_logprobs", 0, model.limits.log_probabilities);
  out.sampling.prompt_log_probabilities = prompt_logprobs.value_or(-1);
  if (prompt_logprobs && out.stream) {
    body.refuse("prompt_logprobs", *prompt_logprobs, "stream to be false with it");
  }
  out.tokens_as_ids = body.boolean("return_tokens_as_token_ids").value_or(false);
  return out;
}

}  // namespace dms::serve
