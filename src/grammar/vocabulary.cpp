#include "grammar/vocabulary.h"

#include <algorithm>
#include <string>
#include <vector>

#include "text/tokenizer.h"

namespace dms::grammar {

xgrammar::TokenizerInfo tokenizer_info(const text::Tokenizer& tokenizer,
                                       int64_t vocab,
                                       std::span<const int32_t> named) {
  std::vector<std::string> bytes(static_cast<size_t>(vocab));
  const int64_t known = std::min(vocab, tokenizer.id_limit());
  for (int32_t id = 0; id < known; ++id) {
    if (!tokenizer.leaves_out(id, true)) bytes[static_cast<size_t>(id)] = tokenizer.token_bytes(id);
  }
  constexpr char kNoCharacter = '\xFF';
  for (const int32_t id : named) {
    std::string& token = bytes[static_cast<size_t>(id)];
    if (token.empty()) token = kNoCharacter + tokenizer.token_bytes(id);
  }
  return {bytes, xgrammar::VocabType::RAW, std::nullopt, std::vector<int32_t>()};
}

}  // namespace dms::grammar
