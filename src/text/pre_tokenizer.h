#pragma once
// The pre-tokenizer of tokenizer.json: cuts text into the pieces that the model sees. Split,
// ByteLevel, Digits, Punctuation, Whitespace, WhitespaceSplit, CharDelimiterSplit,
// BertPreTokenizer, Metaspace and sequences of them.

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/json.h"
#include "text/bpe.h"
#include "text/growth_limit.h"
#include "text/splitter.h"

namespace dms::text {

/// Thread-safe, movable.
class PreTokenizer {
 public:
  /// No pre-tokenizer: text is one piece.
  PreTokenizer() = default;

  /// Throws InputError naming a kind it does not know.
  PreTokenizer(const Json& json, const std::string& where);

  /// Gives the pieces of `text` (well-formed UTF-8), one after the other, each alive during its
  /// call only; false when `sink` returned false. The text was made of an input of `input_bytes` or
  /// of a part of it. `at_start`: nothing of the input comes before it. Throws InputError when the
  /// steps make absurdly much of it.
  bool apply(std::string_view text,
             size_t input_bytes,
             bool at_start,
             RegexWork& work,
             PieceSink sink) const;

  /// Whether everything of a text is in some piece.
  bool keeps_text() const;

  /// How the pieces are to be encoded. A ByteLevel at the end leaves them as raw bytes instead of
  /// spelling every byte out.
  Bpe::Alphabet alphabet() const { return alphabet_; }

 private:
  struct Split {
    Pattern pattern;
    SplitBehavior behavior;
    bool invert;
  };
  struct ByteLevel {
    bool add_prefix_space;
    bool use_regex;
    bool spell_bytes;
  };
  struct Metaspace {
    enum class Prepend { always, first, never };
    LiteralPattern replacement;
    Prepend prepend;
    bool split;
  };
  using Step = std::variant<Split, ByteLevel, Metaspace>;

  void read(const Json& json, const std::string& where);
  void read_split(const JsonFields& fields, const std::string& where);
  void read_metaspace(const JsonFields& fields, const std::string& where);
  void add_split(uint16_t flag, SplitBehavior behavior);

  struct Piece {
    std::string_view text;
    bool at_start;
  };
  class Run;

  std::string where_;
  std::vector<Step> steps_;
  Bpe::Alphabet alphabet_ = Bpe::Alphabet::characters;
};

}  // namespace dms::text
