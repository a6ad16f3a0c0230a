#pragma once
// What tokenizer.ggml.pre stands for: llama.cpp's names of the ways to cut text into words.

#include <string>

#include "base/json.h"

namespace dms::text {

struct GgufPreTokenizer {
  Json json;                   // as a tokenizer.json has it
  bool ignore_merges = false;  // a word in the vocabulary is taken whole
  bool adds_bos = false;       // where the file does not say
};

/// Throws InputError naming `where` for a name that is not known.
GgufPreTokenizer gguf_pre_tokenizer(const std::string& name, const std::string& where);

}  // namespace dms::text
