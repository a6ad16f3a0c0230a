#pragma once
// The tokens that may come next, a bit each.

#include <cstdint>
#include <span>
#include <vector>

namespace dms::grammar {

struct Mask {
  std::vector<int32_t> words{};  // bit i % 32 of word i / 32: token i may come
  bool may_end = false;          // the answer may be over here

  static int64_t word_count(int64_t vocab) { return (vocab + 31) / 32; }

  /// Makes -inf of the logits of what may not come; `ends` come where the answer may end. False:
  /// nothing may come.
  bool apply(std::span<const int32_t> ends, std::span<float> logits) const;
};

}  // namespace dms::grammar
