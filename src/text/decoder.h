#pragma once
// The decoder of tokenizer.json: from token strings back to text. ByteLevel, ByteFallback, Fuse,
// Strip, Replace, Metaspace, BPEDecoder, WordPiece and sequences of them.

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "base/json.h"
#include "text/growth_limit.h"
#include "text/splitter.h"

namespace dms::text {

/// Thread-safe, movable.
class Decoder {
 public:
  /// No decoder: tokens are joined by spaces.
  Decoder() = default;
  /// Throws InputError naming a kind it does not know.
  Decoder(const Json& json, const std::string& where);

  /// Well-formed UTF-8 for any tokens. Throws InputError when a step makes them absurdly long.
  std::string apply(std::vector<std::string> tokens) const;

  /// What one token in the midst of a text adds to it: perhaps bytes that make no character yet.
  std::string bytes_of(std::string token) const;

 private:
  struct ByteLevel {};
  struct ByteFallback {};
  struct Fuse {};
  struct Strip {
    std::string content;  // one character
    int64_t start;        // at most so many from the start of each token
    int64_t stop;         // and from its end
  };
  struct Replace {
    Pattern pattern;
    std::string content;
  };
  struct Metaspace {
    std::string replacement;
    bool drop_in_first;
  };
  struct Bpe {
    std::string suffix;  // a space where it ends a word
  };
  struct WordPiece {
    std::string prefix;  // of tokens that go on a word
    bool cleanup;
  };
  using Step =
      std::variant<ByteLevel, ByteFallback, Fuse, Strip, Replace, Metaspace, Bpe, WordPiece>;
  class Run;

  void read(const Json& json, const std::string& where);

  bool present_ = false;
  std::string where_;
  std::vector<Step> steps_;
};

}  // namespace dms::text
