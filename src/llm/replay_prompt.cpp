#include "llm/replay_prompt.h"

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "dms/chat.h"

namespace dms::llm {
namespace {

/// What a chat template puts between a user's words and the answer; NVIDIA/kvpress finds it so.
std::string answer_prefix(const std::filesystem::path& model) {
  const std::optional<ChatTemplate> chat = ChatTemplate::load(model);
  if (!chat) return "\n";
  const std::string mark = "\n#############";
  const std::string text =
      chat->render({.messages = {{.role = "user", .content = "dummy context" + mark}}});
  const size_t at = text.find(mark);
  return at == std::string::npos ? "\n" : text.substr(at + mark.size());
}

}  // namespace

cpu::ReplayPrompt replay_prompt(const Tokenizer& tokenizer, const std::filesystem::path& model) {
  return {.whole = tokenizer.encode("\n\nRepeat the previous context exactly.", false),
          .part = tokenizer.encode(
              "\n\nRepeat the part of the previous context exactly, starting with", false),
          .answer = tokenizer.encode(answer_prefix(model), false)};
}

cpu::ReplayPromptSource replay_prompt_source(const Tokenizer& tokenizer,
                                             const std::filesystem::path& model) {
  struct Made {
    std::once_flag once;
    cpu::ReplayPrompt prompt;
  };
  return [tokenizer, model, made = std::make_shared<Made>()] {
    std::call_once(made->once, [&] { made->prompt = replay_prompt(tokenizer, model); });
    return made->prompt;
  };
}

}  // namespace dms::llm
