#pragma once
// Facts hidden in text, questions about some of them at its end, with their answers: RULER's needle
// tasks (single 1-3 and multikey: arXiv 2404.06654). Half of the tasks use RULER's own words, the
// others vary them (recall_phrases.h). The same for the same random stream on every machine.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/byte_span.h"
#include "base/random.h"
#include "tasks/recall_phrases.h"

namespace dms::tasks {

struct RecallSettings {
  Range needles = {1, 4};   // facts in the text, each with a key of its own
  Range queries = {1, 1};   // facts that are asked for, at most as many as there are
  Range digits = {7, 7};    // of a fact's number
  double uuid_share = 0.0;  // of tasks whose facts are UUIDs (RULER's single 3)
};

/// Far fewer facts than there are keys, and what a number can be.
constexpr int64_t kMaxNeedles = 1000;
constexpr int64_t kMaxDigits = 18;

struct WrittenRecall {
  std::string text;
  std::vector<ByteSpan> answers;  // each with the space before it and its full stop
};

class RecallTask {
 public:
  RecallTask(const RecallSettings& settings, Random& random);

  /// With `filler` around the facts, parted where its sentences begin.
  WrittenRecall write(const std::string& filler) const;

  /// Tokens of a text.
  using Count = std::function<int64_t(const std::string&)>;
  /// With as much of the beginning of `filler` as keeps within `limit` tokens; with none of it
  /// where the task alone takes more.
  WrittenRecall write_within(int64_t limit, const std::string& filler, const Count& count) const;

 private:
  struct Fact {
    std::string key;
    std::string value;
    double depth = 0.0;  // where in the text, 0 to 1
  };

  std::string draw_key(Random& random) const;
  std::string fill_in(std::string_view phrase, const Fact& fact) const;
  void append_haystack(const std::string& filler, std::string& text) const;

  RecallPhrases phrases_;
  std::string thing_;
  std::vector<Fact> facts_;  // by depth
  std::vector<size_t> asked_;
};

}  // namespace dms::tasks
