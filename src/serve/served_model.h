#pragma once
// What a server must know of a model beside the weights.

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "dms/llm.h"
#include "serve/prepared.h"

namespace dms::serve {

/// A chat template in place of the model's own.
struct GivenTemplate {
  std::string text{};
  std::string name{};                // what errors call it: its file
  bool adds_special_tokens = false;  // the tokenizer does, because the template writes none
  std::vector<std::string> stops{};  // texts that end an answer although the model has not said so
};

/// "User: …\nAssistant: …", for who has none.
GivenTemplate plain_template();

struct ServedOptions {
  std::filesystem::path folder{};
  std::optional<GivenTemplate> chat_template{};
  std::string tool_parser{};         // empty: by the look of the template; "none", or a form's name
  std::vector<std::string> names{};  // empty: the folder's name
  RequestLimits limits{};
  int64_t speculate = 0;  // where a request says nothing
  bool strip_agent_headers = false;
  int64_t slots = 0;
};

/// `model` is a ModelSource or an LLM. Throws InputError where it has no tokenizer, the template is
/// bad, or there is no such form of calls.
template <class Model>
ServedModel describe_model(const Model& model,
                           const CacheOptions& cache,
                           const ServedOptions& options);

}  // namespace dms::serve
