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
  std::vector<int32_t> eos_ids{};
  SamplingParams sampling{};  // the folder's recommendation, and how far is guessed ahead
  CacheOptions cache{};       // where a request says nothing
  RequestLimits limits{};
  int64_t slots = 0;  // that requests may name
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
  bool reports_memory = false;    // the answer tells what its cache holds, token by token
  std::string document{};         // its prompt goes on from the one of that name; empty: from none
  std::optional<int64_t> slot{};  // whose cache it goes on from, and that keeps its own
  bool tokens_as_ids = false;     // token texts in log-probabilities are "token_id:17"
};

/// The name in "model"; the first one where it is missing or empty. Throws ApiError (404).
std::string read_model_name(const Fields& body, const ModelFacts& model);
ApiError unknown_model(const std::string& name, const ModelFacts& model);

/// {"policy": "streaming", "policy_args": {…}, "window": 128} of a request's "dms" object, in place
/// of what `out` has. Throws ApiError (400).
void read_cache(const Fields& fields, CacheOptions& out);

/// Reads them. Throws ApiError: 404 for another model, 400 for what is malformed, out of bounds, or
/// would change the answer and is not supported.
GenerationRequest read_generation_request(const Fields& body, const ModelFacts& model);

}  // namespace dms::serve
