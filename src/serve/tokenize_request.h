#pragma once
// The bodies of POST /tokenize and POST /detokenize, in vLLM's forms.

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "serve/chat_request.h"

namespace dms::serve {

struct TokenizeRequest {
  std::variant<std::string, Conversation> input{};
  bool add_special_tokens = true;  // not where a chat template has written them
  bool return_token_strs = false;
  std::string document{};  // that it comes after, as GenerationRequest's
};

/// Both throw ApiError.
TokenizeRequest parse_tokenize_request(std::string_view body, const ModelFacts& model);
std::vector<int32_t> parse_detokenize_request(std::string_view body, const ModelFacts& model);

}  // namespace dms::serve
