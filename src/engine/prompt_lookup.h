#pragma once
// What followed the last time a text was as it ends now: the longest match within the text itself
// (prompt lookup, https://github.com/apoorvumang/prompt-lookup-decoding), found over chains of
// equal pairs of tokens as LZ77 finds its matches. A token costs about a microsecond, however long
// the text is.

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

namespace dms::engine {

class PromptLookup {
 public:
  static constexpr int64_t kLeastMatch = 2;
  static constexpr int64_t kLongestMatch = 64;

  struct Match {
    int64_t end = 0;     // of the text, where it was as it ends now
    int64_t length = 0;  // tokens before `end` that are equal; 0: none was found
  };

  int64_t tokens() const { return std::ssize(text_); }
  void append(std::span<const int32_t> tokens);
  void append(int32_t token);

  /// The longest, and among equal ones the latest, of the most recent places that end alike.
  Match longest_match() const;
  /// `count` tokens from there on; where the text ends, what was taken goes on.
  std::vector<int32_t> following(const Match& match, int64_t count) const;

 private:
  int64_t common_tokens(int64_t a, int64_t b) const;

  std::vector<int32_t> text_;
  std::vector<int32_t> earlier_;                  // where the pair that ends here was before; or -1
  std::unordered_map<uint64_t, int32_t> latest_;  // where a pair ended last
};

}  // namespace dms::engine
