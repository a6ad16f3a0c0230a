#include "serve/document_request.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "base/utf8.h"
#include "serve/completion_request.h"

namespace dms::serve {
namespace {

constexpr std::array<std::string_view, 4> kFields{"model", "messages", "prompt", "dms"};
constexpr std::array<std::string_view, 4> kOurs{"policy", "policy_args", "window", "kv_dtype"};

void refuse_others(const OrderedJson& object,
                   const Fields& fields,
                   std::span<const std::string_view> known,
                   const char* expected) {
  for (const auto& [key, value] : object.items()) {
    if (std::ranges::find(known, key) == known.end()) fields.refuse(key, value, expected);
  }
}

void read_ours(const Fields& body, CacheOptions& cache) {
  const OrderedJson* given = body.object("dms");
  if (given == nullptr) return;
  const Fields fields(*given, "dms");
  refuse_others(*given, fields, kOurs, "policy, policy_args, window or kv_dtype");
  read_cache(fields, cache);
  if (const auto dtype = fields.text("kv_dtype")) cache.kv_dtype = *dtype;
}

std::vector<int32_t> prompt_ids(const Fields& body, const ServedModel& model, int64_t max_tokens) {
  const OrderedJson& prompt = *body.find("prompt");
  if (prompt.is_array()) return read_ids(prompt, model.facts.vocab, "prompt");
  if (!prompt.is_string()) body.refuse("prompt", prompt, "a string or token ids");
  return model.tokenizer.encode(prompt.get<std::string>(), true, max_tokens);
}

OrderedJson read_json(std::string_view body, const ServedModel& model) {
  OrderedJson json = parse_body(body, model.facts.limits);
  const Fields fields(json, "");
  refuse_others(json, fields, kFields, "model, messages, prompt or dms");
  read_model_name(fields, model.facts);
  const bool has_messages = fields.find("messages") != nullptr;
  if (has_messages == (fields.find("prompt") != nullptr)) {
    throw ApiError(400, "messages, prompt: a document has one of them", "messages");
  }
  return json;
}

OrderedJson json_of_text(std::string_view text, const ServedModel& model) {
  if (!is_well_formed(text)) throw ApiError(400, "body: is not UTF-8");
  if (!model.chat.chat_template) return {{"prompt", text}};
  OrderedJson messages = OrderedJson::array();
  messages.push_back({{"role", "system"}, {"content", text}});
  return {{"messages", std::move(messages)}};
}

void require_length(const std::vector<int32_t>& ids, int64_t max_tokens) {
  if (ids.empty()) throw ApiError(400, "prompt: is empty", "prompt");
  if (std::ssize(ids) < max_tokens) return;
  throw ApiError(400,
                 "the document leaves no room in the model's context (got " +
                     std::to_string(ids.size()) + " or more of " + std::to_string(max_tokens) +
                     " tokens)",
                 {},
                 "context_length_exceeded");
}

std::vector<int32_t> beginning_of(const std::vector<ChatMessage>& messages,
                                  const ServedModel& model,
                                  int64_t max_tokens) {
  return common_beginning(messages, [&](const std::vector<ChatMessage>& talk) {
    return render({.chat = {.messages = talk}}, model.chat, model.tokenizer, max_tokens);
  });
}

}  // namespace

DocumentRequest read_document(std::string_view body,
                              bool is_text,
                              const ServedModel& model,
                              const Planner& plan) {
  const OrderedJson json = is_text ? json_of_text(body, model) : read_json(body, model);
  const Fields fields(json, "");
  DocumentRequest out{.cache = model.facts.cache};
  read_ours(fields, out.cache);
  const int64_t max_tokens = plan(out.cache).max_tokens;
  if (fields.find("messages") != nullptr) {
    out.note.messages = read_conversation(fields, model.facts.limits).chat.messages;
    out.ids = beginning_of(out.note.messages, model, max_tokens);
  } else {
    out.ids = prompt_ids(fields, model, max_tokens);
  }
  require_length(out.ids, max_tokens);
  return out;
}

}  // namespace dms::serve
