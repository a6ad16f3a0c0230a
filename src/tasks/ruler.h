#pragma once
// The thirteen tasks of RULER (arXiv 2404.06654), made here: its prompts word for word, its answer
// prefixes, numbers of needles, hops and words, and its scoring, so that results can be put beside
// published ones. What differs: the words of keys and lists are ours, and so are the random draws.
// The same for the same seed on every machine.

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tasks/haystack.h"
#include "tasks/questions.h"

namespace dms::tasks {

/// A prompt is context + question + answer_prefix.
struct RulerPrompt {
  std::string context;
  std::string question;
  std::string answer_prefix;
  std::vector<std::string> answers;

  std::string text() const { return context + question + answer_prefix; }
};

enum class RulerMetric {
  all,  // share of the answers that are given
  any,  // whether one of them is
};

struct RulerTask {
  std::string_view name;
  int64_t answer_tokens;  // generated for it
  RulerMetric metric;
  bool needs_questions;  // made of a data set's questions
};

/// In RULER's order.
std::span<const RulerTask> ruler_tasks();
/// Throws InputError on an unknown name.
const RulerTask& find_ruler_task(const std::string& name);

/// Tokens of a text.
using CountTokens = std::function<int64_t(const std::string&)>;

/// What prompts are made from.
struct RulerSettings {
  int64_t length = 4096;  // tokens of prompt and answer together
  uint64_t seed = 42;
  const Haystack* essay = nullptr;      // of the tasks with essays; never null
  const QuestionSet* squad = nullptr;   // of qa_1; null: there are none
  const QuestionSet* hotpot = nullptr;  // of qa_2
};

/// The `index`-th prompt of a task, with as much haystack as keeps prompt and answer within the
/// length. Throws InputError where the task alone takes more.
RulerPrompt make_ruler_prompt(const RulerTask& task,
                              const RulerSettings& settings,
                              int64_t index,
                              const CountTokens& count);

/// One needle at a share of the text's depth, asked for as in niah_single_1 (noise) or, with
/// `is_essay`, niah_single_2; `digits` of its number. Throws as make_ruler_prompt().
RulerPrompt make_needle_prompt(const RulerSettings& settings,
                               double depth,
                               bool is_essay,
                               int64_t digits,
                               int64_t answer_tokens,
                               int64_t index,
                               const CountTokens& count);

/// 0 to 1, as RULER scores one answer: references are looked for in any case (ASCII), control
/// characters count as line breaks.
double ruler_score(std::string_view answer,
                   const std::vector<std::string>& references,
                   RulerMetric);

}  // namespace dms::tasks
