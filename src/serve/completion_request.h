#pragma once
// The body of POST /v1/completions.

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "serve/generation_request.h"

namespace dms::serve {

/// Text, or tokens as they are.
using Prompt = std::variant<std::string, std::vector<int32_t>>;

struct CompletionRequest {
  GenerationRequest common{};
  std::vector<Prompt> prompts{};
  bool echo = false;  // the answer begins with the prompt
  bool add_special_tokens = true;
};

/// Throws ApiError.
CompletionRequest parse_completion_request(std::string_view body, const ModelFacts& model);

/// Token ids of a model with `vocab` of them. Throws ApiError naming `name`.
std::vector<int32_t> read_ids(const OrderedJson& list, int64_t vocab, const std::string& name);

}  // namespace dms::serve
