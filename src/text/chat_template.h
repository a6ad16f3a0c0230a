#pragma once
// Chat templates of Hugging Face folders: messages in, prompt out, the same text as transformers'
// apply_chat_template. Templates come from strangers: they see only what the request holds, and
// their work, memory and recursion are limited. Thread-safe after construction.

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "text/jinja/jinja.h"

namespace dms::text {

/// JSON whose objects keep their order, which templates that print tools depend on. A Json converts
/// to it; what has been parsed as Json has its keys sorted.
using ChatJson = nlohmann::ordered_json;

/// Parses JSON with the order of keys. Throws InputError like parse_json.
ChatJson parse_chat_json(std::string_view text, const std::string& where);

/// "bos_token" -> "<s>", ...
using SpecialTokens = std::map<std::string, std::string>;

struct ChatRequest {
  ChatJson messages = ChatJson::array();
  bool add_generation_prompt = true;
  ChatJson kwargs = ChatJson::object();  // tools, documents, enable_thinking, ...
  SpecialTokens special_tokens = {};
};

/// Bounds on one rendering, about a second and what a second can fill; long messages get more. What
/// long conversations need stays far below.
struct ChatLimits {
  int64_t steps = 10'000'000;         // expressions evaluated, elements walked, text looked through
  int64_t bytes = int64_t{64} << 20;  // texts, lists and variables made on the way, all together
};

class ChatTemplate {
 public:
  /// `where` names the template in errors. Throws InputError on a malformed template and on
  /// statements outside of the supported subset.
  ChatTemplate(std::string_view source, const std::string& where);

  /// Throws InputError when the template refuses the messages (with its own message), uses a
  /// filter, test or method outside of the supported subset, or exceeds the limits.
  std::string render(const ChatRequest& request, const ChatLimits& limits = {}) const;
  const std::string& source() const { return source_; }

 private:
  std::string source_;
  jinja::Template template_;
};

struct LoadedChatTemplate {
  ChatTemplate chat_template;
  SpecialTokens special_tokens;                 // for ChatRequest
  std::optional<ChatTemplate> tool_template{};  // of conversations with tools, where they have one
};

/// The template of a model folder: chat_template.jinja, else the chat_template of
/// tokenizer_config.json (of several the one named "default", else the first), else
/// chat_template.json. Beside it the one for tools: additional_chat_templates/tool_use.jinja, or of
/// several the one named "tool_use". Nothing when there is none. Throws InputError on malformed
/// files.
std::optional<LoadedChatTemplate> load_chat_template(const std::filesystem::path& folder);

/// The special tokens a model folder names (tokenizer_config.json, then special_tokens_map.json),
/// whether or not it has a template: one from elsewhere needs them as well.
SpecialTokens load_special_tokens(const std::filesystem::path& folder);

}  // namespace dms::text
