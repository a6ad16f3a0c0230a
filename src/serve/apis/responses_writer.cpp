#include "serve/apis/responses_writer.h"

#include <utility>

namespace dms::serve {
namespace {

using Kind = AnswerPart::Kind;

const char* id_prefix(Kind kind) {
  if (kind == Kind::kReasoning) return "rs_";
  return kind == Kind::kText ? "msg_" : "fc_";
}

OutJson content_part(Kind kind, const std::string& text) {
  if (kind == Kind::kReasoning) return {{"type", "reasoning_text"}, {"text", text}};
  return {{"type", "output_text"},
          {"text", text},
          {"annotations", OutJson::array()},
          {"logprobs", OutJson::array()}};
}

OutJson new_item(const AnswerPart& part, const std::string& id) {
  switch (part.kind) {
    case Kind::kReasoning:
      return {{"id", id},
              {"type", "reasoning"},
              {"summary", OutJson::array()},
              {"content", OutJson::array()},
              {"status", "in_progress"}};
    case Kind::kText:
      return {{"id", id},
              {"type", "message"},
              {"role", "assistant"},
              {"content", OutJson::array()},
              {"status", "in_progress"}};
    case Kind::kCall:
      return {{"id", id},
              {"type", "function_call"},
              {"call_id", part.id},
              {"name", part.name},
              {"arguments", ""},
              {"status", "in_progress"}};
  }
  return {};
}

/// What is long is empty, or null.
OutJson if_short(const OutJson& value) {
  constexpr size_t kShortBytes = 2048;
  if (json_text(value).size() <= kShortBytes) return value;
  return value.is_structured() ? OutJson(value.type()) : OutJson();
}

OutJson short_of(const OutJson& echo) {
  OutJson out = OutJson::object();
  for (const auto& [key, value] : echo.items()) out[key] = if_short(value);
  return out;
}

OutJson usage_of(const OutJson& chat) {
  OutJson usage{
      {"input_tokens", count_in(chat, "prompt_tokens")},
      {"input_tokens_details",
       {{"cached_tokens", count_in(chat, "prompt_tokens_details", "cached_tokens")},
        {"cache_write_tokens", 0}}},
      {"output_tokens", count_in(chat, "completion_tokens")},
      {"output_tokens_details",
       {{"reasoning_tokens", count_in(chat, "completion_tokens_details", "reasoning_tokens")}}},
      {"total_tokens", count_in(chat, "total_tokens")}};
  if (chat.contains("dms")) usage["dms"] = chat["dms"];
  return usage;
}

}  // namespace

ResponsesWriter::ResponsesWriter(OutJson echo)
    : echo_(std::move(echo)), short_echo_(short_of(echo_)) {}

std::string ResponsesWriter::item_id(const AnswerPart& part) const {
  return id_prefix(part.kind) + suffix_ + "_" + std::to_string(part.index);
}

void ResponsesWriter::emit_event(const char* type, OutJson fields) {
  fields["sequence_number"] = sequence_++;
  emit(type, std::move(fields));
}

void ResponsesWriter::emit_of_item(const char* type, const AnswerPart& part, OutJson fields) {
  OutJson event{{"item_id", item_id(part)}, {"output_index", part.index}};
  if (part.kind != Kind::kCall) event["content_index"] = 0;
  event.update(fields);
  emit_event(type, std::move(event));
}

void ResponsesWriter::emit_response(const char* type) {
  if (is_streamed()) emit_event(type, {{"response", response_}});
}

void ResponsesWriter::begin(const OutJson& chunk) {
  const std::string id = chunk.value("id", "");
  suffix_ = id.substr(id.find('-') + 1);
  response_ = {{"id", "resp_" + suffix_},
               {"object", "response"},
               {"created_at", chunk.value("created", int64_t{0})},
               {"status", "in_progress"},
               {"background", false},
               {"error", nullptr},
               {"incomplete_details", nullptr},
               {"model", chunk.value("model", "")},
               {"output", OutJson::array()},
               {"previous_response_id", nullptr},
               {"store", false},
               {"usage", nullptr}};
  response_.update(short_echo_);
  emit_response("response.created");
  emit_response("response.in_progress");
}

void ResponsesWriter::open(const AnswerPart& part) {
  item_ = new_item(part, item_id(part));
  emit_event("response.output_item.added", {{"output_index", part.index}, {"item", item_}});
  if (part.kind == Kind::kCall) return;
  emit_of_item("response.content_part.added", part, {{"part", content_part(part.kind, "")}});
}

void ResponsesWriter::grow(const AnswerPart& part, const std::string& piece) {
  OutJson fields{{"delta", piece}};
  if (part.kind == Kind::kReasoning) {
    return emit_of_item("response.reasoning_text.delta", part, std::move(fields));
  }
  if (part.kind == Kind::kCall) {
    return emit_of_item("response.function_call_arguments.delta", part, std::move(fields));
  }
  fields["logprobs"] = OutJson::array();
  emit_of_item("response.output_text.delta", part, std::move(fields));
}

void ResponsesWriter::close(const AnswerPart& part) {
  if (part.kind == Kind::kCall) {
    item_["arguments"] = part.text;
    emit_of_item("response.function_call_arguments.done",
                 part,
                 {{"name", part.name}, {"arguments", part.text}});
  } else {
    const OutJson content = content_part(part.kind, part.text);
    OutJson fields{{"text", part.text}};
    if (part.kind == Kind::kText) fields["logprobs"] = OutJson::array();
    emit_of_item(
        part.kind == Kind::kText ? "response.output_text.done" : "response.reasoning_text.done",
        part,
        std::move(fields));
    emit_of_item("response.content_part.done", part, {{"part", content}});
    item_["content"].push_back(content);
  }
  item_["status"] = part.is_cut ? "incomplete" : "completed";
  emit_event("response.output_item.done", {{"output_index", part.index}, {"item", item_}});
  response_["output"].push_back(std::move(item_));
}

void ResponsesWriter::end(const AnswerEnd& end) {
  response_.update(echo_);
  response_["usage"] = usage_of(end.usage);
  if (end.finish_reason == "abort") {
    return fail(ApiError(503, "the answer was ended early: its time was up, or the server's"));
  }
  const bool is_cut = end.finish_reason == "length";
  response_["status"] = is_cut ? "incomplete" : "completed";
  if (is_cut) response_["incomplete_details"] = {{"reason", "max_output_tokens"}};
  emit_response(is_cut ? "response.incomplete" : "response.completed");
}

void ResponsesWriter::fail(const ApiError& error) {
  response_.update(echo_);
  response_["status"] = "failed";
  response_["error"] = {{"code", "server_error"}, {"message", error.what()}};
  emit_response("response.failed");
}

}  // namespace dms::serve
