#pragma once
// SentencePiece's unigram model: of all ways to cut a piece into tokens, the one whose scores add
// up to the most, as `tokenizers` computes it (in double, from the left, the first of equals).

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/byte_trie.h"
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

  /// Appends the ids of `piece`. Throws InputError for an unknown character where there is no
  /// unk_id.
  void encode(std::string_view piece, Workspace& workspace, std::vector<int32_t>& ids) const;

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
};

class Unigram::Workspace {
 private:
  friend class Unigram;
  WordCache cache_;
  std::vector<Node> nodes_;
  std::vector<size_t> path_;
};

}  // namespace dms::text
