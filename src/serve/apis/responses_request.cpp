#include "serve/apis/responses_request.h"

#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "serve/apis/responses_input.h"
#include "serve/unsupported_fields.h"

namespace dms::serve {
namespace {

constexpr std::array kUnsupported{
    Unsupported{"store", "false", "nothing is kept between requests; send false"},
    Unsupported{"previous_response_id", "", "send the whole conversation as input"},
    Unsupported{"conversation", "", "send the whole conversation as input"},
    Unsupported{"prompt", "", "send what it says as instructions and input"},
    Unsupported{"background", "false", "use stream"},
    Unsupported{"top_logprobs", "0", "chat completions have logprobs"},
    Unsupported{"moderation", "", "nothing is moderated here"},
    Unsupported{"max_tokens", "", "send it as max_output_tokens"},
};

FieldNames field_names() {
  return {{{"messages", "input"},
           {"max_tokens", "max_output_tokens"},
           {"max_completion_tokens", "max_output_tokens"},
           {"response_format.json_schema", "text.format"},
           {"response_format", "text.format"},
           {"reasoning_effort", "reasoning.effort"},
           {"tool_choice.function", "tool_choice"}},
          "parameters"};
}

void read_format(const Fields& body, OrderedJson& chat) {
  const OrderedJson* text = body.object("text");
  if (text == nullptr) return;
  const OrderedJson* given = Fields(*text, "text").object("format");
  if (given == nullptr) return;
  const Fields format(*given, "text.format");
  const std::string type = format.text("type").value_or("text");
  if (type == "text") return;
  if (type == "json_object") {
    chat["response_format"] = {{"type", type}};
  } else if (type == "json_schema") {
    chat["response_format"] = chat_format_of_schema(format);
  } else {
    format.refuse("type", type, "text, json_object or json_schema");
  }
}

void read_tools(const Fields& body, OrderedJson& chat) {
  const OrderedJson* tools = body.array("tools");
  if (tools == nullptr) return;
  chat["tools"] = OrderedJson::array();
  for (size_t i = 0; i < tools->size(); ++i) {
    const Fields tool((*tools)[i], "tools[" + std::to_string(i) + "]");
    const std::string type = tool.text("type").value_or("");
    if (type != "function") tool.refuse("type", type, "function: no other tools are run here");
    chat["tools"].push_back(chat_tool(tool, "parameters"));
  }
}

void read_tool_choice(const Fields& body, OrderedJson& chat) {
  const OrderedJson* choice = body.find("tool_choice");
  if (choice == nullptr) return;
  if (choice->is_object()) {
    const Fields fields(*choice, "tool_choice");
    const std::string type = fields.text("type").value_or("");
    if (type != "function") fields.refuse("type", type, "function");
    chat["tool_choice"] = chat_tool_choice(fields);
  } else if (*choice == "auto" || *choice == "none" || *choice == "required") {
    chat["tool_choice"] = *choice;
  } else {
    body.refuse("tool_choice", *choice, "auto, none, required, or a function");
  }
}

void read_include(const Fields& body) {
  const OrderedJson* include = body.array("include");
  for (size_t i = 0; include != nullptr && i < include->size(); ++i) {
    const OrderedJson& item = (*include)[i];
    if (item == "reasoning.encrypted_content") continue;  // thoughts are told in clear
    refuse_value("include[" + std::to_string(i) + "]", item, "reasoning.encrypted_content");
  }
}

constexpr size_t kMostBytes = 2048;  // of a text that is only told again

void check_user(const Fields& body) {
  const auto user = body.text("user");
  if (user && user->size() > kMostBytes) {
    body.refuse("user", *user, "a string of at most 2048 bytes");
  }
}

/// One that only fills a cache wants no answer.
void check_cache_options(const Fields& body) {
  constexpr const char* kField = "prompt_cache_options";
  const OrderedJson* given = body.object(kField);
  if (given == nullptr) return;
  const Fields options(*given, kField);
  if (options.boolean("prewarm").value_or(false)) {
    options.refuse("prewarm", true, "false: each request is answered");
  }
}

void check_metadata(const Fields& body) {
  constexpr size_t kMostPairs = 16;
  const OrderedJson* metadata = body.object("metadata");
  if (metadata == nullptr) return;
  if (metadata->size() > kMostPairs) body.refuse("metadata", *metadata, "at most 16 texts");
  const Fields fields(*metadata, "metadata");
  for (const auto& [key, value] : metadata->items()) {
    const bool fits = value.is_string() && key.size() <= kMostBytes &&
                      value.get_ref<const std::string&>().size() <= kMostBytes;
    if (!fits) fields.refuse(key.substr(0, kMostBytes), value, "a string of at most 2048 bytes");
  }
}

/// The members of `defaults`, where something was given that.
OutJson members_of(const OrderedJson& given, OutJson defaults) {
  for (auto& [key, value] : defaults.items()) {
    if (const auto found = given.find(key); found != given.end()) value = *found;
  }
  return defaults;
}

/// What was given, or what holds where nothing was. Of objects what is not known is left out.
OutJson echo_of(const Fields& body) {
  OutJson echo{{"instructions", nullptr},
               {"max_output_tokens", nullptr},
               {"metadata", OutJson::object()},
               {"parallel_tool_calls", true},
               {"reasoning", {{"effort", nullptr}, {"summary", nullptr}}},
               {"text", {{"format", {{"type", "text"}}}, {"verbosity", nullptr}}},
               {"tool_choice", "auto"},
               {"tools", OutJson::array()},
               {"user", nullptr}};
  for (auto& [key, value] : echo.items()) {
    const OrderedJson* given = body.find(key);
    if (given == nullptr) continue;
    value = key == "reasoning" || key == "text" ? members_of(*given, std::move(value)) : *given;
  }
  echo["truncation"] = "disabled";
  return echo;
}

}  // namespace

ResponsesRequest read_responses_request(const OrderedJson& json, const RequestLimits& limits) {
  const Fields body(json, "");
  refuse_fields(body, kUnsupported);
  refuse_fields_of_chat(body);
  ResponsesRequest out{.chat = {.names = field_names()}};
  OrderedJson& chat = out.chat.json;
  copy_common_fields(body, chat);
  if (const OrderedJson* tokens = body.find("max_output_tokens")) chat["max_tokens"] = *tokens;
  if (const OrderedJson* stop = body.find("stop")) chat["stop"] = *stop;
  if (const OrderedJson* reasoning = body.object("reasoning")) {
    const auto effort = Fields(*reasoning, "reasoning").text("effort");
    if (effort) chat["reasoning_effort"] = *effort;
  }
  read_format(body, chat);
  read_tools(body, chat);
  read_tool_choice(body, chat);
  if (const auto parallel = body.boolean("parallel_tool_calls")) {
    chat["parallel_tool_calls"] = *parallel;
  }
  read_include(body);
  check_metadata(body);
  check_cache_options(body);
  check_user(body);
  chat["messages"] = read_responses_input(body, limits, out.chat.names);
  out.echo = echo_of(body);
  return out;
}

}  // namespace dms::serve
