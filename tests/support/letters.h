#pragma once
// A vocabulary of printable characters for models of a hundred tokens.

#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "text/tokenizer.h"

namespace dms::testing_support {

/// Ids of the letters vocabulary that are no single character.
constexpr int32_t kEndToken = 95;
constexpr int32_t kTrueToken = 96;   // "true"
constexpr int32_t kColonToken = 97;  // "\": "
constexpr int32_t kUnnamedId = 99;   // of the model, and no token's

/// The id of a printable character.
inline int32_t letter(char c) { return c - ' '; }

inline std::vector<int32_t> letters(const std::string& text) {
  std::vector<int32_t> ids;
  for (const char c : text) ids.push_back(letter(c));
  return ids;
}

/// Printable ASCII, an end token, two longer tokens and a line end; byte-level as GPT-2's.
inline std::shared_ptr<const text::Tokenizer> letters_tokenizer() {
  Json vocab = Json::object();
  for (char c = ' '; c <= '~'; ++c) vocab[c == ' ' ? "\u0120" : std::string(1, c)] = letter(c);
  vocab["</s>"] = kEndToken;
  vocab["true"] = kTrueToken;
  vocab["\":\u0120"] = kColonToken;
  vocab["\u010a"] = 98;
  const Json json = {{"version", "1.0"},
                     {"added_tokens",
                      {{{"id", kEndToken},
                        {"content", "</s>"},
                        {"special", true},
                        {"single_word", false},
                        {"lstrip", false},
                        {"rstrip", false},
                        {"normalized", false}}}},
                     {"pre_tokenizer",
                      {{"type", "ByteLevel"},
                       {"add_prefix_space", false},
                       {"trim_offsets", true},
                       {"use_regex", false}}},
                     {"decoder", {{"type", "ByteLevel"}}},
                     {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", Json::array()}}}};
  return std::make_shared<const text::Tokenizer>(
      text::Tokenizer::parse(json.dump(), "letters.json"));
}

}  // namespace dms::testing_support
