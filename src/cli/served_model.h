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
  std::vector<std::string> names{};  // empty: the folder's name
  serve::RequestLimits limits{};
  int64_t speculate = 0;  // where a request says nothing
};

/// Throws InputError where the folder has no tokenizer, or the template is bad.
serve::ServedModel describe_model(const ModelSource& source,
                                  const CacheOptions& cache,
                                  const ServedOptions& options);

}  // namespace dms::cli
