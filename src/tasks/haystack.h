#pragma once
// Text around needles: its words, as many as are wanted, from the beginning and round again.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tasks/recall_phrases.h"

namespace dms::tasks {

/// RULER's text without content, as one line.
inline constexpr std::string_view kNoiseLine = kRecallNoise.substr(0, kRecallNoise.size() - 1);

class Haystack {
 public:
  /// Words are parted by white space, of which one space is left; those beyond the first million
  /// are left out. Without a word: RULER's noise.
  explicit Haystack(std::string_view text = {});

  static bool has_words(std::string_view text);

  int64_t words() const { return static_cast<int64_t>(ends_.size()); }
  /// The first `words` of them.
  std::string first(int64_t words) const;
  /// The text's words of three lower-case letters or more, without punctuation, each once, sorted.
  const std::vector<std::string>& vocabulary() const { return vocabulary_; }

 private:
  std::string text_;
  std::vector<size_t> ends_;  // of each word in text_
  std::vector<std::string> vocabulary_;
};

}  // namespace dms::tasks
