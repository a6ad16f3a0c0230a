#pragma once
// A task's prompt as tokens: one part that a policy compresses, and the question that may come
// after it, with the model's chat template around both where that is wanted.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "dms/chat.h"
#include "dms/tokenizer.h"
#include "tasks/ruler.h"

namespace dms::eval {

struct PromptTokens {
  std::vector<int32_t> context;   // empty: all of it is in `question`
  std::vector<int32_t> question;  // with the beginning of the answer
};

class PromptTokenizer {
 public:
  /// `chat`: the prompt is what a user says, and the answer's beginning what the model answers.
  PromptTokenizer(const Tokenizer& tokenizer, std::optional<ChatTemplate> chat);

  /// `is_split`: the question's tokens apart, with those of the context's last that it changes.
  /// Throws InputError where the template refuses.
  PromptTokens encode(const tasks::RulerPrompt& prompt, bool is_split) const;
  /// What encode() comes to, whatever the split.
  int64_t count(const std::string& text) const;

 private:
  std::string in_template(const std::string& content) const;

  Tokenizer tokenizer_;
  std::optional<ChatTemplate> chat_;
  int64_t overhead_ = 0;  // tokens of the template alone
};

}  // namespace dms::eval
