#pragma once
// chat.completion and chat.completion.chunk.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "serve/answer_form.h"
#include "serve/reasoning_splitter.h"
#include "serve/token_texts.h"

namespace dms::serve {

struct ChatFormOptions {
  bool begins_inside_reasoning = false;
  bool include_reasoning = true;
  bool log_probabilities = false;
  bool prompt_log_probabilities = false;
};

class ChatForm final : public AnswerForm {
 public:
  ChatForm(AnswerHead head, TokenTexts texts, int64_t choices, const ChatFormOptions& options);

  std::optional<OutJson> begin(int64_t choice) override;
  std::optional<OutJson> token(int64_t choice, const TokenEvent& event) override;
  OutJson finish(int64_t choice, const FinishedEvent& event) override;
  OutJson memory(int64_t choice, OutJson report) override;
  OutJson usage_chunk(const Usage& usage) const override;
  OutJson whole(std::span<const Generation> answers, const Usage& usage) const override;

 private:
  /// One choice so far.
  struct Choice {
    ReasoningSplitter splitter;
    std::string reasoning{};
    std::string content{};
    std::vector<TokenChoice> unsent{};  // tokens that no chunk has told of
  };

  std::string text_with_tags(const TokenEvent& event) const;
  OutJson chunk(int64_t choice, OutJson delta, const std::string& finish_reason);
  OutJson delta_of(Choice& choice, ReasoningSplitter::Parts parts) const;
  OutJson choice_json(int64_t index, const Generation& answer) const;

  AnswerHead head_;
  TokenTexts texts_;
  ChatFormOptions options_;
  std::vector<Choice> choices_;
  // Where the tags are special tokens, which answers' texts leave out.
  std::optional<int32_t> open_id_{};
  std::optional<int32_t> close_id_{};
};

}  // namespace dms::serve
