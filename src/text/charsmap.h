#pragma once
// The normalizer "Precompiled": SentencePiece's table of replacements, a trie of byte sequences (in
// the form of the Darts library) and the texts they become. Applied to characters of less than six
// bytes and then to code points, as `tokenizers` does.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/growth_limit.h"

namespace dms::text {

/// Thread-safe, movable.
class Charsmap {
 public:
  /// `base64` as tokenizer.json has it. Throws InputError (naming `where`) when it is broken.
  Charsmap(std::string_view base64, const std::string& where);

  /// `text` (well-formed UTF-8) with its replacements, which `limit` bounds.
  std::string apply(std::string_view text, const GrowthLimit& limit) const;

 private:
  std::optional<std::string_view> replacement(std::string_view chunk) const;

  std::vector<uint32_t> units_;
  std::string texts_;  // each ends with a zero byte
};

}  // namespace dms::text
