#pragma once
// Byte-pair encoding of one piece of text. Equal to merging, again and again, the pair of
// neighbours with the lowest rank (the leftmost among equals); long pieces go through a heap, so
// that time grows as n log n.

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/id_bound.h"
#include "text/pair_table.h"
#include "text/vocabulary.h"
#include "text/word_cache.h"

namespace dms::text {

struct BpeOptions {
  std::optional<int32_t> unk_id;  // stands for characters outside the vocabulary
  std::string continuing_prefix;  // before every character of a word but the first
  std::string end_suffix;         // after the last character of a word
  bool fuse_unk = false;          // one unk for a run of unknown characters
  bool byte_fallback = false;     // unknown characters become <0x..> tokens
  bool ignore_merges = false;     // a whole piece in the vocabulary is taken as it is
};

struct Merge {
  std::string left;
  std::string right;
};

/// Thread-safe; scratch memory and cache come from the caller.
class Bpe {
 public:
  /// Throws InputError (naming `where`) when a merge names a token outside the vocabulary.
  Bpe(const Vocabulary& vocabulary,
      BpeOptions options,
      const std::vector<Merge>& merges,
      const std::string& where);

  /// What one thread works in: reused buffers and the cache of words seen.
  class Workspace;

  /// How the characters of a piece are looked up.
  enum class Alphabet {
    characters,  // the vocabulary's strings are text
    bytes,       // the piece is raw bytes; the vocabulary's strings spell them in the byte alphabet
  };

  /// Appends the ids of `piece`. More than `most_ids` in all are of no use: where a long piece is
  /// sure to bring them, appends that many, whichever they are, without merging anything.
  void encode(std::string_view piece,
              Alphabet alphabet,
              Workspace& workspace,
              std::vector<int32_t>& ids,
              size_t most_ids = SIZE_MAX) const;

  /// How few ids a piece can become; nothing where any number of bytes may become one.
  std::optional<IdBound> id_bound(Alphabet alphabet) const;

  /// True where no merge crosses from another character to U+2581, and nothing else couples the two
  /// sides: then text may be cut in front of each such U+2581 without changing any id.
  bool separable_at_meta() const { return separable_at_meta_; }

 private:
  void encode_uncached(std::string_view piece,
                       Alphabet alphabet,
                       Workspace& workspace,
                       std::vector<int32_t>& ids,
                       size_t most_ids) const;
  void append_symbols(std::string_view piece,
                      Alphabet alphabet,
                      size_t enough,
                      std::vector<int32_t>& symbols) const;
  void append_plain_bytes(std::string_view piece,
                          size_t enough,
                          std::vector<int32_t>& symbols) const;
  bool append_byte_tokens(std::string_view character, std::vector<int32_t>& symbols) const;
  void merge_short(std::vector<int32_t>& symbols, Workspace& workspace) const;
  void merge_long(std::vector<int32_t>& symbols, Workspace& workspace) const;
  bool spells_symbols() const;
  bool falls_back_whole() const;
  bool find_separable(const std::vector<Merge>& merges) const;

  const Vocabulary* vocabulary_;
  BpeOptions options_;
  PairTable merges_;
  std::array<int32_t, 256> byte_ids_;      // Alphabet::bytes; -1 where the vocabulary has none
  std::array<int32_t, 256> fallback_ids_;  // <0x00> to <0xFF>; -1 likewise
  bool separable_at_meta_ = false;
  size_t longest_ = 0;  // most symbols that merge into one; 0: there may be any number
};

class Bpe::Workspace {
 private:
  friend class Bpe;
  WordCache cache_;
  std::vector<int32_t> symbols_;
  std::vector<uint32_t> ranks_;
  std::vector<int32_t> results_;
  std::vector<uint64_t> heap_;  // rank << 32 | position
};

}  // namespace dms::text
