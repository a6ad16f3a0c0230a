#pragma once
// Chat templates: a conversation as the text and the tokens that a model continues, the same as
// transformers' apply_chat_template gives. Templates come from strangers: they see only what they
// are given, and their work, memory and recursion are limited.

#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dms/tokenizer.h"

namespace dms {

/// One message. What is more than text is JSON, as text: its keys stay in the order they have.
struct ChatMessage {
  std::string role;  // "system", "user", "assistant", "tool", or what the template knows
  std::string content{};
  // A JSON array, as in OpenAI's API; empty: none. Arguments of a function that are a text of a
  // JSON object become that object, as templates want them.
  std::string tool_calls{};
  // A JSON object of more (reasoning_content, tool_call_id, name), or of content that is no text;
  // empty: none.
  std::string fields{};
};

/// A JSON array of them, [{"role": …, "content": …, "tool_calls": […], …}], and such an array as
/// messages. Throws InputError, naming `where`, on what is none.
std::string json_of_messages(const std::vector<ChatMessage>& messages);
std::vector<ChatMessage> messages_of_json(std::string_view json, const std::string& where);

struct ChatRequest {
  std::vector<ChatMessage> messages;
  std::string tools{};      // a JSON array of descriptions, passed through; empty: none
  std::string arguments{};  // a JSON object for the template: {"enable_thinking": false}; or empty
  bool add_generation_prompt = true;  // up to where the assistant speaks next
};

struct RenderedChat {
  std::string text;
  std::vector<int32_t> ids;
};

/// Copies share it; const functions may be called by any thread.
class ChatTemplate {
 public:
  /// A Jinja text that `where` names in errors. Special tokens are those of the model's folder or
  /// GGUF file, where one is given. Throws InputError on a malformed template.
  ChatTemplate(std::string_view source,
               const std::string& where,
               const std::filesystem::path& model_folder = {});
  /// The one of a Hugging Face folder or a GGUF file; nothing where it has none. Throws InputError
  /// on bad files.
  static std::optional<ChatTemplate> load(const std::filesystem::path& model_folder);

  /// As it is written; of a model that has another one for conversations with tools, that.
  const std::string& source() const;

  /// Throws InputError when the template refuses the messages, exceeds its limits, or what should
  /// be JSON is not.
  std::string render(const ChatRequest& request) const;
  /// The text and its tokens, special ones as the template wrote them; more than `max_tokens` where
  /// it is too long (Tokenizer::encode()).
  RenderedChat render(const ChatRequest& request,
                      const Tokenizer& tokenizer,
                      int64_t max_tokens = std::numeric_limits<int32_t>::max()) const;

 private:
  struct State;
  explicit ChatTemplate(std::shared_ptr<const State> state);
  std::shared_ptr<const State> state_;
};

}  // namespace dms
