#include "serve/apis/messages_request.h"

#include <array>
#include <string>
#include <utility>

#include "serve/apis/messages_input.h"
#include "serve/unsupported_fields.h"

namespace dms::serve {
namespace {

constexpr std::array kUnsupported{
    Unsupported{"container", "", "nothing is run here"},
    Unsupported{"mcp_servers", "[]", "nothing is run here; send their tools as tools"},
    Unsupported{"compaction", "", "ask for a summary by a message"},
    Unsupported{"output_format", "", "send it as output_config.format"},
    Unsupported{"stop", "[]", "send it as stop_sequences"},
};

FieldNames field_names() {
  return {{{"messages", "messages"},
           {"max_completion_tokens", "max_tokens"},
           {"stop", "stop_sequences"},
           {"response_format.json_schema", "output_config.format"},
           {"response_format", "output_config.format"},
           {"reasoning_effort", "output_config.effort"},
           {"parallel_tool_calls", "tool_choice.disable_parallel_tool_use"},
           {"tool_choice.function", "tool_choice"},
           {"continue_final_message", "messages"}},
          "input_schema"};
}

/// A client that is told so sends the whole conversation from then on; one that is not sends the
/// new messages alone.
void refuse_thread(const Fields& body) {
  constexpr const char* kField = "thread";
  if (body.find(kField) == nullptr) return;
  const ApiError error(400,
                       "thread: is not supported; nothing is kept between requests: send the whole "
                       "conversation as messages",
                       kField);
  throw error.with_details(
      {{"error_code", "thread_unsupported_request"}, {"unsupported", OutJson::array({kField})}});
}

void read_tools(const Fields& body, OrderedJson& chat) {
  const OrderedJson* tools = body.array("tools");
  if (tools == nullptr) return;
  chat["tools"] = OrderedJson::array();
  for (size_t i = 0; i < tools->size(); ++i) {
    const Fields tool((*tools)[i], "tools[" + std::to_string(i) + "]");
    const std::string type = tool.text("type").value_or("custom");
    if (type != "custom") tool.refuse("type", type, "custom: no other tools are known here");
    if (tool.object("input_schema") == nullptr) {
      tool.refuse("input_schema", OrderedJson(), "a JSON schema");
    }
    chat["tools"].push_back(chat_tool(tool, "input_schema"));
  }
}

void read_tool_choice(const Fields& body, OrderedJson& chat) {
  const OrderedJson* given = body.object("tool_choice");
  if (given == nullptr) return;
  const Fields choice(*given, "tool_choice");
  const std::string type = choice.text("type").value_or("");
  if (type == "auto" || type == "none") {
    chat["tool_choice"] = type;
  } else if (type == "any") {
    chat["tool_choice"] = "required";
  } else if (type == "tool") {
    chat["tool_choice"] = chat_tool_choice(choice);
  } else {
    choice.refuse("type", type, "auto, any, tool or none");
  }
  if (const auto one = choice.boolean("disable_parallel_tool_use")) {
    chat["parallel_tool_calls"] = !*one;
  }
}

/// Templates that leave the choice know it by this name.
void read_thinking(const Fields& body, OrderedJson& chat) {
  constexpr const char* kArgument = "enable_thinking";
  const OrderedJson* given = body.object("thinking");
  if (given == nullptr) return;
  const Fields thinking(*given, "thinking");
  const std::string type = thinking.text("type").value_or("");
  if (type != "enabled" && type != "adaptive" && type != "disabled") {
    thinking.refuse("type", type, "enabled, adaptive or disabled");
  }
  body.object("chat_template_kwargs");
  OrderedJson& arguments = chat["chat_template_kwargs"];
  if (!arguments.contains(kArgument)) arguments[kArgument] = type != "disabled";
}

void read_output(const Fields& body, OrderedJson& chat) {
  const OrderedJson* given = body.object("output_config");
  if (given == nullptr) return;
  const Fields output(*given, "output_config");
  if (const auto effort = output.text("effort")) chat["reasoning_effort"] = *effort;
  const OrderedJson* wanted = output.object("format");
  if (wanted == nullptr) return;
  const Fields format(*wanted, "output_config.format");
  const std::string type = format.text("type").value_or("");
  if (type != "json_schema") format.refuse("type", type, "json_schema");
  chat["response_format"] = chat_format_of_schema(format);
}

void read_ends(const Fields& body, OrderedJson& chat) {
  const OrderedJson* tokens = body.find("max_tokens");
  if (tokens == nullptr) body.refuse("max_tokens", OrderedJson(), "an integer, at least 1");
  chat["max_tokens"] = *tokens;
  if (const OrderedJson* stops = body.array("stop_sequences")) chat["stop"] = *stops;
}

}  // namespace

ChatBody read_count_request(const OrderedJson& json, const RequestLimits& limits) {
  const Fields body(json, "");
  refuse_thread(body);
  refuse_fields(body, kUnsupported);
  refuse_fields_of_chat(body);
  ChatBody out{.names = field_names()};
  copy_common_fields(body, out.json);
  read_tools(body, out.json);
  read_tool_choice(body, out.json);
  read_thinking(body, out.json);
  read_output(body, out.json);
  body.object("metadata");
  MessagesInput input = read_messages_input(body, limits, out.names);
  out.json["messages"] = std::move(input.messages);
  if (input.ends_open) out.json["continue_final_message"] = true;
  return out;
}

ChatBody read_messages_request(const OrderedJson& json, const RequestLimits& limits) {
  ChatBody out = read_count_request(json, limits);
  read_ends(Fields(json, ""), out.json);
  return out;
}

}  // namespace dms::serve
