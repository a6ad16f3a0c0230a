#include "text/chat_template.h"

#include <utility>

#include "dms/chat.h"
#include "dms/error.h"
#include "gguf/file.h"
#include "text/gguf_tokenizer.h"

namespace dms {
namespace {

using text::ChatJson;

ChatJson parse(const std::string& json, const std::string& field, ChatJson::value_t kind) {
  ChatJson value = text::parse_chat_json(json, field);
  if (value.type() == kind) return value;
  const bool is_array = kind == ChatJson::value_t::array;
  throw InputError({.field = field,
                    .what = "bad value",
                    .got = value.type_name(),
                    .expected = is_array ? "a JSON array" : "a JSON object"});
}

/// A function's arguments are an object for templates; as OpenAI's API has them they are its text.
void unfold_arguments(ChatJson& call) {
  if (!call.is_object()) return;
  const auto function = call.find("function");
  ChatJson& holder = function != call.end() && function->is_object() ? *function : call;
  const auto arguments = holder.find("arguments");
  if (arguments == holder.end() || !arguments->is_string()) return;
  const auto& text = arguments->get_ref<const std::string&>();
  if (!ChatJson::accept(text)) return;
  ChatJson value = text::parse_chat_json(text, "arguments");
  if (value.is_object()) *arguments = std::move(value);
}

ChatJson message_json(const ChatMessage& message, const std::string& field) {
  ChatJson json{{"role", message.role}, {"content", message.content}};
  if (!message.fields.empty()) {
    json.update(parse(message.fields, field + ".fields", ChatJson::value_t::object));
  }
  if (message.tool_calls.empty()) return json;
  ChatJson calls = parse(message.tool_calls, field + ".tool_calls", ChatJson::value_t::array);
  for (ChatJson& call : calls) unfold_arguments(call);
  json["tool_calls"] = std::move(calls);
  return json;
}

void refuse(const ChatJson& arguments, const char* name) {
  if (!arguments.contains(name)) return;
  throw InputError({.field = std::string("arguments.") + name,
                    .what = "is set by the request",
                    .hint = "give another key"});
}

/// What a template is given beside the messages.
ChatJson variables_of(const ChatRequest& request) {
  ChatJson variables = ChatJson::object();
  if (!request.arguments.empty()) {
    variables = parse(request.arguments, "arguments", ChatJson::value_t::object);
  }
  refuse(variables, "messages");
  refuse(variables, "add_generation_prompt");
  if (!request.tools.empty()) {
    refuse(variables, "tools");
    variables["tools"] = parse(request.tools, "tools", ChatJson::value_t::array);
  }
  return variables;
}

text::SpecialTokens special_tokens_of(const std::filesystem::path& model) {
  if (model.empty()) return {};
  if (!gguf::is_gguf(model)) return text::load_special_tokens(model);
  const gguf::File file(model);
  return text::gguf_special_tokens(file.metadata(), file.where());
}

std::optional<text::LoadedChatTemplate> load_template(const std::filesystem::path& model) {
  if (!gguf::is_gguf(model)) return text::load_chat_template(model);
  const gguf::File file(model);
  return text::gguf_chat_template(file.metadata(), file.where());
}

}  // namespace

struct ChatTemplate::State {
  text::ChatTemplate chat_template;
  text::SpecialTokens special_tokens;
  std::optional<text::ChatTemplate> tool_template{};

  const text::ChatTemplate& of(bool with_tools) const {
    return with_tools && tool_template ? *tool_template : chat_template;
  }
};

ChatTemplate::ChatTemplate(std::shared_ptr<const State> state) : state_(std::move(state)) {}

ChatTemplate::ChatTemplate(std::string_view source,
                           const std::string& where,
                           const std::filesystem::path& model_folder)
    : state_(
          std::make_shared<const State>(State{.chat_template = text::ChatTemplate(source, where),
                                              .special_tokens = special_tokens_of(model_folder)})) {
}

std::optional<ChatTemplate> ChatTemplate::load(const std::filesystem::path& model_folder) {
  std::optional<text::LoadedChatTemplate> loaded = load_template(model_folder);
  if (!loaded) return std::nullopt;
  return ChatTemplate(
      std::make_shared<const State>(State{.chat_template = std::move(loaded->chat_template),
                                          .special_tokens = std::move(loaded->special_tokens),
                                          .tool_template = std::move(loaded->tool_template)}));
}

const std::string& ChatTemplate::source() const { return state_->of(true).source(); }

std::string ChatTemplate::render(const ChatRequest& request) const {
  text::ChatRequest out{.add_generation_prompt = request.add_generation_prompt,
                        .kwargs = variables_of(request),
                        .special_tokens = state_->special_tokens};
  for (size_t i = 0; i < request.messages.size(); ++i) {
    const std::string field = "messages[" + std::to_string(i) + "]";
    out.messages.push_back(message_json(request.messages[i], field));
  }
  return state_->of(!request.tools.empty()).render(out);
}

RenderedChat ChatTemplate::render(const ChatRequest& request,
                                  const Tokenizer& tokenizer,
                                  int64_t max_tokens) const {
  RenderedChat chat{.text = render(request), .ids = {}};
  chat.ids = tokenizer.encode(chat.text, false, max_tokens);
  return chat;
}

}  // namespace dms
