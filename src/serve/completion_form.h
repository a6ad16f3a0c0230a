#pragma once
// text_completion, whole and as chunks.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "serve/answer_form.h"
#include "serve/token_texts.h"

namespace dms::serve {

/// What answers begin with where the prompt is echoed.
struct EchoedPrompt {
  std::string text;
  int32_t first_id = 0;
};

struct CompletionFormOptions {
  int64_t answers = 1;                 // to each prompt
  std::vector<EchoedPrompt> echoed{};  // one for each prompt; empty: none is
  bool log_probabilities = false;
  bool prompt_log_probabilities = false;  // vLLM's field prompt_logprobs
};

class CompletionForm final : public AnswerForm {
 public:
  CompletionForm(AnswerHead head, TokenTexts texts, int64_t choices, CompletionFormOptions options);

  std::optional<OutJson> begin(int64_t choice) override;
  std::vector<OutJson> token(int64_t choice, const TokenEvent& event) override;
  std::vector<OutJson> finish(int64_t choice, const FinishedEvent& event) override;
  OutJson memory(int64_t choice, OutJson report) override;
  OutJson usage_chunk(const Usage& usage) const override;
  OutJson whole(std::span<const Generation> answers, const Usage& usage) const override;

 private:
  const EchoedPrompt* echo_of(int64_t choice) const;
  OutJson chunk(int64_t choice, std::string text, const std::string& finish_reason);
  OutJson choice_json(int64_t index, const Generation& answer) const;

  AnswerHead head_;
  TokenTexts texts_;
  CompletionFormOptions options_;
  std::vector<std::vector<TokenChoice>> unsent_;  // of each choice, tokens that no chunk told of
};

}  // namespace dms::serve
