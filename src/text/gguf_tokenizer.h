#pragma once
// The tokenizer that a GGUF file's metadata describe (keys tokenizer.ggml.*), as the tokenizer.json
// that means the same: transformers reads such files the same way.

#include <optional>
#include <string>

#include "base/json.h"
#include "text/chat_template.h"

namespace dms::text {

/// Whether the metadata hold a vocabulary at all.
bool has_gguf_tokenizer(const Json& metadata);

/// Throws InputError naming the file (`where`) and the key for a model or a pre-tokenizer that is
/// not known, and for values that do not fit together.
Json gguf_tokenizer_json(const Json& metadata, const std::string& where);

/// "bos_token" -> "<s>" and so on, for the ids that the metadata give.
SpecialTokens gguf_special_tokens(const Json& metadata, const std::string& where);

/// With the one named tool_use for tools, which is for all where there is no other. Nothing where
/// the file has no template. Throws InputError on a malformed one.
std::optional<LoadedChatTemplate> gguf_chat_template(const Json& metadata,
                                                     const std::string& where);

}  // namespace dms::text
