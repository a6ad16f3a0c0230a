#pragma once
// A prompt whose random parts are drawn, and whose haystack can still have any size.

#include <cstdint>
#include <functional>
#include <string_view>

#include "base/random.h"
#include "tasks/ruler.h"

namespace dms::tasks {

struct RulerDraft {
  int64_t least = 1;  // of words, lines, documents: what its kind of haystack consists of
  int64_t most = int64_t{1} << 30;
  std::function<RulerPrompt(int64_t size)> write{};  // the same for the same size
};

/// With the largest haystack that keeps the prompt within `limit` tokens. Throws InputError naming
/// `task` where the smallest does not.
RulerPrompt write_within(const RulerDraft& draft,
                         std::string_view task,
                         int64_t limit,
                         const CountTokens& count);

/// A random stream for one prompt of a task.
Random ruler_stream(const RulerSettings& settings, std::string_view task, int64_t index);

enum class NeedleHaystack { noise, essay, needles };
enum class NeedlePart { word, number, uuid };

struct NeedleShape {
  std::string_view task;
  NeedleHaystack haystack = NeedleHaystack::essay;
  NeedlePart key = NeedlePart::word;
  NeedlePart value = NeedlePart::number;
  int64_t keys = 1;
  int64_t values = 1;   // of each key
  int64_t queries = 1;  // keys that are asked for
  int64_t digits = 7;   // of a number
};

/// `depth`: of the only needle, 0 to 1; below 0 depths are drawn.
RulerDraft draft_needles(const NeedleShape& shape,
                         const RulerSettings& settings,
                         double depth,
                         Random random);
RulerDraft draft_tracking(const RulerSettings& settings, Random random, const CountTokens& count);
RulerDraft draft_common_words(const RulerSettings& settings, Random random);
RulerDraft draft_frequent_words(const RulerSettings& settings,
                                int64_t answer_tokens,
                                Random random);
/// `set` has questions; they come round again where there are fewer than `index`.
RulerDraft draft_questions(const QuestionSet& set, int64_t index, Random random);

}  // namespace dms::tasks
