#pragma once
// What a server must know of a model's folder beside the weights.

#include <filesystem>
#include <string>
#include <vector>

#include "dms/llm.h"
#include "serve/prepared.h"

namespace dms::cli {

struct ServedOptions {
  std::filesystem::path folder{};
  std::string chat_template{};       // empty: the model's own; "plain", or a file
  std::string tool_parser{};         // empty: by the look of the template; "none", or a form's name
  std::vector<std::string> names{};  // empty: the folder's name
  serve::RequestLimits limits{};
  int64_t speculate = 0;  // where a request says nothing
  bool strip_agent_headers = false;
  int64_t slots = 0;
};

/// Throws InputError where the folder has no tokenizer, the template is bad, or there is no such
/// form of calls.
serve::ServedModel describe_model(const ModelSource& source,
                                  const CacheOptions& cache,
                                  const ServedOptions& options);

}  // namespace dms::cli
