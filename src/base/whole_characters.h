#pragma once
// Text that comes in pieces of bytes, as tokens are, cut into whole characters: one that several
// pieces share belongs to the piece that ends it.

#include <string>
#include <string_view>

namespace dms {

class WholeCharacters {
 public:
  /// The characters that end in `bytes`, the next piece. Ill-formed parts are U+FFFD.
  std::string take(std::string_view bytes);
  /// What was begun and no piece has ended: U+FFFD, or nothing.
  std::string rest();

 private:
  std::string begun_;  // the first bytes of a character
};

}  // namespace dms
