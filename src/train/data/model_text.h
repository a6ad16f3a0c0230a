#pragma once
// What a model folder says about text: tokenizer, chat template, end token, vocabulary.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/byte_span.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"
#include "train/data/token_store.h"

namespace dms::train::data {

/// Const use is thread-safe.
struct ModelText {
  text::Tokenizer tokenizer;
  std::optional<text::LoadedChatTemplate> chat;
  std::vector<int32_t> end_tokens;  // what generation stops at: the configs', then the tokenizer's
  int64_t vocab = 0;
  std::string tokenizer_hash;  // of tokenizer.json, and of the tokens as side files left them
  std::string chat_hash;       // of the files a chat template may come from

  /// What is put after a text: the first of them.
  std::optional<int32_t> end_token() const {
    return end_tokens.empty() ? std::nullopt : std::optional(end_tokens.front());
  }
};

/// Throws InputError when a file is missing or broken.
ModelText load_model_text(const std::filesystem::path& folder);

/// The tokens of `text` as Hugging Face's tokenizer.encode gives them, special tokens around them
/// included; where the text itself begins with the start token, the second one is dropped.
Document encode_text(const text::Tokenizer& tokenizer, std::string_view text);

/// The same tokens, of which only those count as targets that lie in one of `spans`, wholly or in
/// part (a tokenizer may join an answer's full stop with the line end that follows).
Document encode_text(const text::Tokenizer& tokenizer,
                     std::string_view text,
                     std::span<const ByteSpan> spans);

}  // namespace dms::train::data
