#pragma once
// When the tokens of one head were evicted by a plan: after how many tokens of the sequence. With
// it a plan is carried out again exactly when what it left is computed anew.

#include <cstdint>
#include <span>
#include <vector>

#include "base/bytes.h"

namespace dms::cache {

class EvictionTimes {
 public:
  void set(int64_t position, int64_t time);
  /// Positions evicted after `time` tokens, rising.
  std::vector<int32_t> evicted_at(int64_t time) const;
  /// Forgets what happened after `time` tokens.
  void forget_after(int64_t time);
  void write(ByteWriter& out) const { out.list(std::span(times_)); }
  /// Throws InputError where a time is none of `plans`, or before its token.
  void read(ByteReader& in, std::span<const int64_t> plans);
  /// 0: it is not evicted.
  int64_t at(int64_t position) const;
  int64_t bytes() const { return static_cast<int64_t>(times_.capacity() * sizeof(int32_t)); }

 private:
  std::vector<int32_t> times_;  // by position
};

}  // namespace dms::cache
