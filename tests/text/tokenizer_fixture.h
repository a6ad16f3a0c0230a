#pragma once
// Tokenizers and data for the tests of src/text.

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>

#include "base/json.h"
#include "text/tokenizer.h"

namespace dms::text::testing_support {

/// Folder `tokenizers` of the outside test data; nothing when DMS_TEST_DATA is not set.
inline std::optional<std::filesystem::path> tokenizer_data() {
  const char* folder = std::getenv("DMS_TEST_DATA");
  if (folder == nullptr) return std::nullopt;
  return std::filesystem::path(folder) / "tokenizers";
}

/// A tokenizer.json whose vocabulary is the given tokens (ids in order); other keys of the model
/// and of the file can be changed before parsing.
inline Json tokenizer_json(const std::vector<std::string>& tokens,
                           const std::vector<std::pair<std::string, std::string>>& merges = {}) {
  Json json = {{"version", "1.0"},
               {"added_tokens", Json::array()},
               {"model", {{"type", "BPE"}, {"vocab", Json::object()}, {"merges", Json::array()}}}};
  for (size_t id = 0; id < tokens.size(); ++id) json["model"]["vocab"][tokens[id]] = id;
  for (const auto& [left, right] : merges) json["model"]["merges"].push_back({left, right});
  return json;
}

inline Tokenizer parsed(const Json& json) { return Tokenizer::parse(json.dump(), "test.json"); }

}  // namespace dms::text::testing_support
