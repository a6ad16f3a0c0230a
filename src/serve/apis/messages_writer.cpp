#include "serve/apis/messages_writer.h"

#include <algorithm>
#include <utility>

#include "base/json.h"

namespace dms::serve {
namespace {

using Kind = AnswerPart::Kind;

/// What the model wrote as arguments, where it is an object; an answer that was cut is none.
OutJson input_of(const std::string& arguments) {
  constexpr int kDepth = 64;
  try {
    OutJson input = parse_ordered_json(arguments, "arguments", {.depth = kDepth});
    if (input.is_object()) return input;
  } catch (const InputError&) {
  }
  return OutJson::object();
}

OutJson block_of(const AnswerPart& part) {
  switch (part.kind) {
    case Kind::kReasoning:
      return {{"type", "thinking"}, {"thinking", part.text}, {"signature", ""}};
    case Kind::kText:
      return {{"type", "text"}, {"text", part.text}};
    case Kind::kCall:
      return {{"type", "tool_use"},
              {"id", part.id},
              {"name", part.name},
              {"input", input_of(part.text)}};
  }
  return {};
}

OutJson delta_of(Kind kind, const std::string& piece) {
  switch (kind) {
    case Kind::kReasoning:
      return {{"type", "thinking_delta"}, {"thinking", piece}};
    case Kind::kText:
      return {{"type", "text_delta"}, {"text", piece}};
    case Kind::kCall:
      return {{"type", "input_json_delta"}, {"partial_json", piece}};
  }
  return {};
}

/// What was read from the cache is no part of input_tokens here.
OutJson usage_json(int64_t prompt, int64_t cached, int64_t output) {
  return {{"input_tokens", prompt - cached},
          {"cache_creation_input_tokens", 0},
          {"cache_read_input_tokens", cached},
          {"output_tokens", output}};
}

OutJson usage_of(const OutJson& chat) {
  OutJson usage = usage_json(count_in(chat, "prompt_tokens"),
                             count_in(chat, "prompt_tokens_details", "cached_tokens"),
                             count_in(chat, "completion_tokens"));
  usage["output_tokens_details"] = {
      {"thinking_tokens", count_in(chat, "completion_tokens_details", "reasoning_tokens")}};
  if (chat.contains("dms")) usage["dms"] = chat["dms"];
  return usage;
}

}  // namespace

void MessagesWriter::begin(const OutJson& chunk) {
  const std::string id = chunk.value("id", "");
  message_ = {{"id", "msg_" + id.substr(id.find('-') + 1)},
              {"type", "message"},
              {"role", "assistant"},
              {"model", chunk.value("model", "")},
              {"content", OutJson::array()},
              {"stop_reason", nullptr},
              {"stop_sequence", nullptr},
              {"usage", usage_json(prompt_tokens_, 0, 0)}};
  emit("message_start", {{"message", message_}});
}

void MessagesWriter::open(const AnswerPart& part) {
  emit("content_block_start", {{"index", part.index}, {"content_block", block_of(part)}});
}

void MessagesWriter::grow(const AnswerPart& part, const std::string& piece) {
  emit("content_block_delta", {{"index", part.index}, {"delta", delta_of(part.kind, piece)}});
}

void MessagesWriter::close(const AnswerPart& part) {
  message_["content"].push_back(block_of(part));
  emit("content_block_stop", {{"index", part.index}});
}

void MessagesWriter::set_stop_reason(const AnswerEnd& end) {
  const char* reason = "end_turn";
  if (end.finish_reason == "length") reason = "max_tokens";
  if (end.finish_reason == "tool_calls") reason = "tool_use";
  if (end.finish_reason == "abort") reason = "pause_turn";
  const bool is_end_of_turn = end.finish_reason == "stop";
  if (is_end_of_turn && std::ranges::find(stops_, end.stop_text) != stops_.end()) {
    reason = "stop_sequence";
    message_["stop_sequence"] = end.stop_text;
  }
  message_["stop_reason"] = reason;
}

void MessagesWriter::end(const AnswerEnd& end) {
  set_stop_reason(end);
  message_["usage"] = usage_of(end.usage);
  emit("message_delta",
       {{"delta",
         {{"stop_reason", message_["stop_reason"]}, {"stop_sequence", message_["stop_sequence"]}}},
        {"usage", message_["usage"]}});
  emit("message_stop", OutJson::object());
}

void MessagesWriter::fail(const ApiError& error) {
  OutJson body = error.body(ErrorForm::kAnthropic);
  emit("error", {{"error", std::move(body["error"])}});
}

}  // namespace dms::serve
