#pragma once
// SentencePiece's unigram model: of all ways to cut a piece into tokens, the one whose scores add
// up to the most, as `tokenizers` computes it (in double, from the left, the first of equals).

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/byte_trie.h"
#include "text/id_bound.h"
#include "text/vocabulary.h"
#include "text/word_cache.h"

namespace dms::text {

struct UnigramOptions {
  std::vector<double> scores;     // by id
  std::optional<int32_t> unk_id;  // stands for characters outside the vocabulary
  bool byte_fallback = false;     // unknown characters become <0x..> tokens
};

/// Thread-safe.
class Unigram {
 public:
  Unigram(const Vocabulary& vocabulary, UnigramOptions options, std::string where);

  /// What one thread works in: reused buffers and the cache of words seen.
  class Workspace;

  /// Appends the ids of `piece`. More than `most_ids` in all are of no use: where a long piece is
  /// sure to bring them, appends so many, whichever they are, and stops. Throws InputError for an
  /// unknown character where there is no unk_id.
  void encode(std::string_view piece,
              Workspace& workspace,
              std::vector<int32_t>& ids,
              size_t most_ids = SIZE_MAX) const;

  /// How few ids a piece can become; nothing where any number of bytes may become one.
  std::optional<IdBound> id_bound() const;

 private:
  /// The best way to end at a byte.
  struct Node {
    double score = 0;
    size_t start = 0;  // of the token that ends here
    int32_t id = -1;   // -1: no way ends here
  };
  class Lattice;

  int32_t require_unk() const;
  void append_unknown(std::string_view text, std::vector<int32_t>& ids) const;

  const Vocabulary* vocabulary_;
  UnigramOptions options_;
  std::string where_;
  double unk_score_;
  ByteTrie trie_;
  std::vector<int32_t> byte_ids_;  // <0x00> to <0xFF>; -1 where the vocabulary has none
  bool spells_unknown_ = false;    // characters outside the vocabulary never become one token
  size_t longest_ = 1;             // characters of the longest token
};

class Unigram::Workspace {
 private:
  friend class Unigram;
  WordCache cache_;
  std::vector<Node> nodes_;
  std::vector<size_t> path_;
};

}  // namespace dms::text
