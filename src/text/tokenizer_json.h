#pragma once
// Reads tokenizer.json into the parts a Tokenizer is made of.

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/json.h"
#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/decoder.h"
#include "text/normalizer.h"
#include "text/post_processor.h"
#include "text/pre_tokenizer.h"
#include "text/unigram.h"
#include "text/vocabulary.h"

namespace dms::text {

struct BpeParts {
  BpeOptions options;
  std::vector<Merge> merges;
};

struct TokenizerParts {
  std::string where;
  Vocabulary vocabulary;
  std::variant<BpeParts, UnigramOptions> model;
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  PostProcessor post_processor;
  Decoder decoder;
  std::vector<AddedToken> added_tokens;
  std::optional<std::string> bos;
  std::optional<std::string> eos;
};

/// Throws InputError naming what is broken or not supported.
TokenizerParts read_tokenizer(const Json& json, const std::string& where);

}  // namespace dms::text
