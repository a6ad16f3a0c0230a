#include "text/gguf_pre_tokenizer.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "dms/error.h"
#include "text/known_patterns.h"

namespace dms::text {
namespace {

enum class Cut { gpt2, digits, llama3, qwen2, tekken };

struct Name {
  std::string_view name;
  Cut cut;
  bool ignore_merges = false;
  bool adds_bos = false;
};

// llama.cpp's llama-vocab.cpp; "default" as transformers reads it.
constexpr std::array kNames{
    Name{"default", Cut::gpt2},
    Name{"gpt-2", Cut::gpt2},
    Name{"phi-2", Cut::gpt2},
    Name{"mpt", Cut::gpt2},
    Name{"olmo", Cut::gpt2},
    Name{"mellum", Cut::gpt2},
    Name{"smollm", Cut::digits},
    Name{"starcoder", Cut::digits},
    Name{"refact", Cut::digits},
    Name{"codeshell", Cut::digits},
    Name{"command-r", Cut::digits},
    Name{"minerva-7b", Cut::digits},
    Name{"llama3", Cut::llama3, true, true},
    Name{"llama-v3", Cut::llama3, true, true},
    Name{"llama-bpe", Cut::llama3, true, true},
    Name{"falcon3", Cut::llama3, true, true},
    Name{"pixtral", Cut::llama3, true, true},
    Name{"dbrx", Cut::llama3},
    Name{"smaug-bpe", Cut::llama3},
    Name{"qwen2", Cut::qwen2},
    Name{"deepseek-r1-qwen", Cut::qwen2},
    Name{"megrez", Cut::qwen2},
    Name{"tekken", Cut::tekken, true},
};

constexpr std::string_view kTekkenPattern =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
    R"(|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

Json byte_level(bool use_regex) {
  return {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", use_regex}};
}

Json sequence(Json first, Json second) {
  return {{"type", "Sequence"},
          {"pretokenizers", Json::array({std::move(first), std::move(second)})}};
}

Json split_at(std::string_view pattern) {
  return sequence({{"type", "Split"},
                   {"pattern", {{"Regex", pattern}}},
                   {"behavior", "Isolated"},
                   {"invert", false}},
                  byte_level(false));
}

Json json_of(Cut cut) {
  switch (cut) {
    case Cut::gpt2:
      return byte_level(true);
    case Cut::digits:
      return sequence({{"type", "Digits"}, {"individual_digits", true}}, byte_level(true));
    case Cut::llama3:
      return split_at(kLlama3Pattern);
    case Cut::qwen2:
      return split_at(kQwen2Pattern);
    case Cut::tekken:
      return split_at(kTekkenPattern);
  }
  return {};
}

std::string known_names() {
  std::string text;
  for (const Name& name : kNames) text += (text.empty() ? "" : ", ") + std::string(name.name);
  return text;
}

}  // namespace

GgufPreTokenizer gguf_pre_tokenizer(const std::string& name, const std::string& where) {
  const auto* it = std::ranges::find(kNames, name, &Name::name);
  if (it == kNames.end()) {
    throw InputError({.where = where,
                      .what = "unknown pre-tokenizer",
                      .got = "'" + name.substr(0, 60) + "'",
                      .expected = "one of " + known_names()});
  }
  return {.json = json_of(it->cut), .ignore_merges = it->ignore_merges, .adds_bos = it->adds_bos};
}

}  // namespace dms::text
