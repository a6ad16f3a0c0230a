#pragma once
// What patterns may cost while one text is processed. Sane ones take a few steps a character; a
// hostile one takes more for every character of a long text than a limit for each match could stop.

#include <cstddef>
#include <cstdint>
#include <memory>

namespace dms::text {

/// One for each text, used by all its patterns, so that their work adds up; also the memory they
/// match in. One thread at a time.
class RegexWork {
 public:
  /// For a text of `bytes` bytes.
  explicit RegexWork(size_t bytes = 0);
  ~RegexWork();

  /// Begins anew with another text, in the same memory.
  void begin(size_t bytes);

 private:
  friend class Regex;
  struct Scratch;

  /// Takes so many possible steps from what unchecked matching may cost; false when they are not
  /// there.
  bool afford(uint64_t steps) {
    if (steps > unchecked_left_) return false;
    unchecked_left_ -= steps;
    return true;
  }
  Scratch& scratch();

  uint64_t unchecked_left_ = 0;
  uint64_t checked_left_ = 0;  // steps of matching that is counted step by step
  std::unique_ptr<Scratch> scratch_;
};

}  // namespace dms::text
