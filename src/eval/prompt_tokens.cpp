#include "eval/prompt_tokens.h"

#include <algorithm>
#include <utility>

#include "dms/error.h"

namespace dms::eval {

PromptTokenizer::PromptTokenizer(const Tokenizer& tokenizer, std::optional<ChatTemplate> chat)
    : tokenizer_(tokenizer), chat_(std::move(chat)) {
  if (chat_) overhead_ = std::ssize(tokenizer_.encode(in_template("x"), false));
}

std::string PromptTokenizer::in_template(const std::string& content) const {
  return chat_->render({.messages = {{.role = "user", .content = content}}});
}

PromptTokens PromptTokenizer::encode(const tasks::RulerPrompt& prompt, bool is_split) const {
  const std::string content = prompt.context + prompt.question;
  const std::string whole = (chat_ ? in_template(content) : content) + prompt.answer_prefix;
  const bool adds_special = !chat_;
  if (!is_split) return {.context = {}, .question = tokenizer_.encode(whole, adds_special)};
  const size_t cut = whole.rfind(prompt.question);
  if (cut == std::string::npos) {
    throw InputError({.where = "chat template", .what = "does not repeat what the user says"});
  }
  // A text of its own may begin with another token than the same text behind the context.
  const std::vector<int32_t> all = tokenizer_.encode(whole, adds_special);
  const std::vector<int32_t> before = tokenizer_.encode(whole.substr(0, cut), adds_special);
  const auto end = std::ranges::mismatch(all, before).in1;
  return {.context = {all.begin(), end}, .question = {end, all.end()}};
}

int64_t PromptTokenizer::count(const std::string& text) const {
  return std::ssize(tokenizer_.encode(text, !chat_)) + overhead_;
}

}  // namespace dms::eval
