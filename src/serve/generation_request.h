#pragma once
// What requests for chat and for completions have in common: how tokens are chosen, how the cache
// is kept, and in which form the answer is wanted. Names and meanings are OpenAI's and vLLM's.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "dms/cache.h"
#include "dms/sampling.h"
#include "serve/fields.h"

namespace dms::serve {

/// What a parser must know of the model, and of how the server was started.
struct ModelFacts {
  std::vector<std::string> names;  // that requests may call it by
  int64_t vocab = 0;
  int64_t context = 0;
  SamplingParams sampling{};  // the folder's recommendation, and how far is guessed ahead
  CacheOptions cache{};       // where a request says nothing
  RequestLimits limits{};
};

struct GenerationRequest {
  std::string model;  // as the request calls it
  SamplingParams sampling{};
  CacheOptions cache{};
  std::optional<int64_t> max_tokens{};  // nothing: as the endpoint defines
  int64_t answers = 1;
  int64_t priority = 0;  // the higher first
  bool stream = false;
  bool include_usage = false;  // in a stream, as its last chunk
  bool is_seeded = false;
  bool reports_memory = false;  // the answer tells what its cache holds, token by token
  bool tokens_as_ids = false;   // token texts in log-probabilities are "token_id:17"
};

/// The name in "model"; the first one where it is missing or empty. Throws ApiError (404).
std::string read_model_name(const Fields& body, const ModelFacts& model);
ApiError unknown_model(const std::string& name, const ModelFacts& model);

/// Reads them. Throws ApiError: 404 for another model, 400 for what is malformed, out of bounds, or
/// would change the answer and is not supported.
GenerationRequest read_generation_request(const Fields& body, const ModelFacts& model);

}  // namespace dms::serve
