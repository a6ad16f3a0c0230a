#pragma once
// How long a text may become on its way through the steps of a tokenizer.json. Sane ones make it a
// few times longer (a space to U+2581: three times; a byte spelled out: twice); a chain of steps
// that each double it would fill any memory.

#include <cstddef>
#include <string_view>

namespace dms::text {

class GrowthLimit {
 public:
  /// For a text of `input_bytes`. `where` names the steps in errors and must outlive this.
  GrowthLimit(std::string_view where, size_t input_bytes);

  /// `size`: the bytes or ids that the text has become. Throws InputError beyond the limit.
  void check(size_t size) const {
    if (size > most_) fail(size);
  }

 private:
  [[noreturn]] void fail(size_t size) const;

  std::string_view where_;
  size_t input_bytes_;
  size_t most_;
};

}  // namespace dms::text
