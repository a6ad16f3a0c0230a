#pragma once
// chat.completion and chat.completion.chunk.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "serve/answer_form.h"
#include "serve/reasoning_splitter.h"
#include "serve/token_texts.h"
#include "serve/tool_calls.h"

namespace dms::serve {

struct ChatFormOptions {
  bool begins_inside_reasoning = false;
  bool include_reasoning = true;
  bool log_probabilities = false;
  bool prompt_log_probabilities = false;
  std::optional<ToolCallOptions> tools{};  // nothing: what looks like a call is text
  std::vector<std::string> stops{};        // the request's texts that may end an answer
  std::vector<int32_t> end_ids{};          // tokens that do
};

class ChatForm final : public AnswerForm {
 public:
  ChatForm(AnswerHead head, TokenTexts texts, int64_t choices, ChatFormOptions options);

  std::optional<OutJson> begin(int64_t choice) override;
  std::vector<OutJson> token(int64_t choice, const TokenEvent& event) override;
  std::vector<OutJson> finish(int64_t choice, const FinishedEvent& event) override;
  OutJson memory(int64_t choice, OutJson report) override;
  OutJson usage_chunk(const Usage& usage) const override;
  OutJson whole(std::span<const Generation> answers, const Usage& usage) const override;

 private:
  /// One choice so far.
  struct Choice {
    ReasoningSplitter splitter;
    std::string reasoning{};
    std::string content{};
    std::optional<ToolCalls> tools{};
    std::vector<TokenChoice> unsent{};  // tokens that no chunk has told of
    int64_t reasoning_tokens = 0;
  };

  void add_tag(std::string_view spelling);
  std::string text_with_tags(const TokenEvent& event) const;
  OutJson chunk(int64_t choice, OutJson delta, const std::string& finish_reason);
  std::vector<OutJson> deltas_of(Choice& choice, ReasoningSplitter::Parts parts, bool is_end) const;
  OutJson message_json(const Choice& choice) const;
  static std::string reason_of(const Choice& choice, const Generation& answer);
  void add_stop_reason(const Generation& answer, OutJson& choice) const;
  OutJson usage_json_of(const Usage& usage) const;
  OutJson choice_json(int64_t index, const Generation& answer) const;

  AnswerHead head_;
  TokenTexts texts_;
  ChatFormOptions options_;
  std::vector<Choice> choices_;
  // Tags that are special tokens, which answers' texts leave out.
  std::vector<std::pair<int32_t, std::string>> tags_{};
};

}  // namespace dms::serve
