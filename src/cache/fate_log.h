#pragma once
// One bit a token of one head: what was decided about it, for the life of the sequence, so that
// recomputation replays the same decisions and positions of survivors need no storage. A token
// without a decision is kept.

#include <cstdint>
#include <vector>

#include "base/bytes.h"

namespace dms::cache {

class FateLog {
 public:
  void set(int64_t position, bool evict);
  bool is_evicted(int64_t position) const;
  /// Bit j: token 32 * page + j is evicted.
  uint32_t evicted_word(int64_t page) const;
  /// Tokens in [begin, end) that are not evicted.
  int64_t kept_between(int64_t begin, int64_t end) const;
  /// Forgets what was decided about `position` and later tokens.
  void clear_from(int64_t position);
  void write(ByteWriter& out) const { out.list(std::span(words_)); }
  /// Throws InputError where it says anything of tokens from `end` on.
  static FateLog read(ByteReader& in, int64_t end);
  int64_t bytes() const { return static_cast<int64_t>(words_.capacity() * sizeof(uint32_t)); }

 private:
  std::vector<uint32_t> words_;
};

}  // namespace dms::cache
