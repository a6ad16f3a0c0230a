#pragma once
// The files beside tokenizer.json that add tokens, change their flags and say which end a text:
// tokenizer_config.json, special_tokens_map.json and added_tokens.json, read as transformers'
// AutoTokenizer reads them for a fast tokenizer.

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "text/added_tokens.h"

namespace dms::text {

struct SideTokens {
  std::vector<AddedToken> tokens;  // in the order in which they are added; their ids do not count
  std::optional<std::string> bos;
  std::optional<std::string> eos;
};

/// What the files of `folder` declare; each may be missing. `listed`: the tokens of tokenizer.json
/// itself. Throws InputError for a file that is broken.
SideTokens read_side_tokens(const std::filesystem::path& folder,
                            const std::vector<AddedToken>& listed);

}  // namespace dms::text
