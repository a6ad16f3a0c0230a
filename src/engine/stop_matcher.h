#pragma once
// Stop strings across token boundaries: text that might be the beginning of a stop string is held
// back until it is known. Of several stop strings the one that ends first counts, and among those
// the one that begins first, so the result does not depend on how the text was cut into pieces.
// One thread at a time.

#include <string>
#include <string_view>
#include <vector>

namespace dms::engine {

class StopMatcher {
 public:
  static constexpr size_t kMaxStops = 64;
  static constexpr size_t kMaxStopBytes = 1024;

  /// Throws InputError on an empty stop string, more than kMaxStops of them or one that is longer
  /// than kMaxStopBytes.
  explicit StopMatcher(std::vector<std::string> stops);

  struct Result {
    std::string emit;      // text that is certainly before any stop string
    bool stopped = false;  // a stop string was found; what follows it is dropped
  };

  /// Takes the next piece (whole characters, so that nothing emitted ends inside one).
  Result push(std::string_view piece);
  /// The same for text that is matched but never emitted: a special token's.
  Result push_hidden(std::string_view piece);

  /// The end of the text: what was still held back. Empty after a stop.
  std::string finish();

 private:
  Result take(std::string_view piece, char mark);
  size_t held_suffix() const;
  /// Takes the first `count` bytes off what is held back; returns those that are not hidden.
  std::string release(size_t count);

  std::vector<std::string> stops_;
  std::string pending_;
  std::string marks_;  // for each byte of pending_: kShown or kHidden
  bool stopped_ = false;
};

}  // namespace dms::engine
