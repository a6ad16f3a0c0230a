#pragma once
// Tokens and their log-probabilities as the API spells them.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "dms/request.h"
#include "dms/tokenizer.h"
#include "serve/api_error.h"

namespace dms::serve {

class TokenTexts {
 public:
  /// `as_ids`: texts are "token_id:17", which no two tokens share.
  TokenTexts(Tokenizer tokenizer, bool as_ids)
      : tokenizer_(std::move(tokenizer)), as_ids_(as_ids) {}

  /// What a token adds to a text; parts of characters are shown as U+FFFD.
  std::string text(int32_t id) const;
  std::string bytes(int32_t id) const;
  const Tokenizer& tokenizer() const { return tokenizer_; }

  /// {"content": [{token, logprob, bytes, top_logprobs}]}: of chat answers.
  OutJson chat_logprobs(std::span<const TokenChoice> choices) const;
  /// {text_offset, token_logprobs, tokens, top_logprobs}: of completions. `first`: the prompt's
  /// first token, which has no probability, where the text begins with the prompt.
  OutJson completion_logprobs(const int32_t* first,
                              std::span<const TokenChoice> prompt,
                              std::span<const TokenChoice> answer) const;
  /// [null, {"17": {logprob, rank, decoded_token}}]: vLLM's prompt_logprobs.
  OutJson prompt_logprobs(std::span<const TokenChoice> choices) const;

 private:
  OutJson chat_entry(const TokenProbability& token) const;
  OutJson likeliest_by_text(const TokenChoice& choice) const;

  Tokenizer tokenizer_;
  bool as_ids_;
};

/// The id of a special token, which answers' texts leave out; nothing where it is none.
std::optional<int32_t> special_id(const Tokenizer& tokenizer, std::string_view spelling);

/// JSON has no infinity: as in vLLM no logarithm is below -9999.
double finite_logprob(float value);

}  // namespace dms::serve
