#include "tasks/ruler.h"

#include <algorithm>
#include <array>
#include <cctype>

#include <fmt/format.h>

#include "base/check.h"
#include "base/suggest.h"
#include "dms/error.h"
#include "tasks/ruler_draft.h"

namespace dms::tasks {
namespace {

constexpr std::array kTasks{
    RulerTask{"niah_single_1", 128, RulerMetric::all, false},
    RulerTask{"niah_single_2", 128, RulerMetric::all, false},
    RulerTask{"niah_single_3", 128, RulerMetric::all, false},
    RulerTask{"niah_multikey_1", 128, RulerMetric::all, false},
    RulerTask{"niah_multikey_2", 128, RulerMetric::all, false},
    RulerTask{"niah_multikey_3", 128, RulerMetric::all, false},
    RulerTask{"niah_multivalue", 128, RulerMetric::all, false},
    RulerTask{"niah_multiquery", 128, RulerMetric::all, false},
    RulerTask{"vt", 30, RulerMetric::all, false},
    RulerTask{"cwe", 120, RulerMetric::all, false},
    RulerTask{"fwe", 50, RulerMetric::all, false},
    RulerTask{"qa_1", 32, RulerMetric::any, true},
    RulerTask{"qa_2", 32, RulerMetric::any, true},
};

constexpr std::array kNeedles{
    NeedleShape{.task = "niah_single_1", .haystack = NeedleHaystack::noise},
    NeedleShape{.task = "niah_single_2"},
    NeedleShape{.task = "niah_single_3", .value = NeedlePart::uuid},
    NeedleShape{.task = "niah_multikey_1", .keys = 4},
    NeedleShape{.task = "niah_multikey_2", .haystack = NeedleHaystack::needles},
    NeedleShape{.task = "niah_multikey_3",
                .haystack = NeedleHaystack::needles,
                .key = NeedlePart::uuid,
                .value = NeedlePart::uuid},
    NeedleShape{.task = "niah_multivalue", .values = 4},
    NeedleShape{.task = "niah_multiquery", .keys = 4, .queries = 4},
};

constexpr double kAnyDepth = -1;

RulerDraft draft(const RulerTask& task,
                 const RulerSettings& settings,
                 int64_t index,
                 const CountTokens& count) {
  const Random random = ruler_stream(settings, task.name, index);
  const auto* needles = std::ranges::find(kNeedles, task.name, &NeedleShape::task);
  if (needles != kNeedles.end()) return draft_needles(*needles, settings, kAnyDepth, random);
  if (task.name == "vt") return draft_tracking(settings, random, count);
  if (task.name == "cwe") return draft_common_words(settings, random);
  if (task.name == "fwe") return draft_frequent_words(settings, task.answer_tokens, random);
  const QuestionSet* set = task.name == "qa_1" ? settings.squad : settings.hotpot;
  ensure(set != nullptr, "a task of questions has its questions");
  return draft_questions(*set, index, random);
}

char lower(char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); }

std::string prepared(std::string_view text) {
  constexpr char kFirstPrintable = 0x20;
  std::string result(text);
  for (char& c : result) c = c >= 0 && c < kFirstPrintable ? '\n' : lower(c);
  return result;
}

}  // namespace

std::span<const RulerTask> ruler_tasks() { return kTasks; }

const RulerTask& find_ruler_task(const std::string& name) {
  const auto* found = std::ranges::find(kTasks, name, &RulerTask::name);
  if (found != kTasks.end()) return *found;
  std::vector<std::string> names;
  for (const RulerTask& task : kTasks) names.emplace_back(task.name);
  throw InputError({.field = "tasks",
                    .what = "unknown task",
                    .got = name,
                    .expected = fmt::format("of {}", fmt::join(names, ", ")),
                    .hint = did_you_mean(name, names)});
}

Random ruler_stream(const RulerSettings& settings, std::string_view task, int64_t index) {
  return Random(settings.seed, task, index);
}

RulerPrompt write_within(const RulerDraft& draft,
                         std::string_view task,
                         int64_t limit,
                         const CountTokens& count) {
  const auto fits = [&](int64_t size) { return count(draft.write(size).text()) <= limit; };
  if (!fits(draft.least)) {
    throw InputError(
        {.field = "length",
         .what = fmt::format("too short for the prompt of {} alone", task),
         .got = fmt::format("{} tokens without the answer's", std::max<int64_t>(limit, 0)),
         .expected = fmt::format("at least {}", count(draft.write(draft.least).text()))});
  }
  int64_t low = draft.least;  // fits
  int64_t high = std::min(2 * low, draft.most);
  while (high > low && fits(high)) {
    low = high;
    high = std::min(2 * low, draft.most);
  }
  while (high - low > 1) {
    const int64_t middle = low + (high - low) / 2;
    (fits(middle) ? low : high) = middle;
  }
  return draft.write(low);
}

RulerPrompt make_ruler_prompt(const RulerTask& task,
                              const RulerSettings& settings,
                              int64_t index,
                              const CountTokens& count) {
  return write_within(
      draft(task, settings, index, count), task.name, settings.length - task.answer_tokens, count);
}

RulerPrompt make_needle_prompt(const RulerSettings& settings,
                               double depth,
                               bool is_essay,
                               int64_t digits,
                               int64_t answer_tokens,
                               int64_t index,
                               const CountTokens& count) {
  const NeedleShape shape{.task = "needle",
                          .haystack = is_essay ? NeedleHaystack::essay : NeedleHaystack::noise,
                          .digits = digits};
  const Random random = ruler_stream(settings, shape.task, index);
  return write_within(draft_needles(shape, settings, depth, random),
                      shape.task,
                      settings.length - answer_tokens,
                      count);
}

double ruler_score(std::string_view answer,
                   const std::vector<std::string>& references,
                   RulerMetric metric) {
  const std::string text = prepared(answer);
  const auto found = std::ranges::count_if(references, [&text](const std::string& reference) {
    return text.find(prepared(reference)) != std::string::npos;
  });
  if (metric == RulerMetric::any) return found > 0 ? 1.0 : 0.0;
  return static_cast<double>(found) / static_cast<double>(std::ssize(references));
}

}  // namespace dms::tasks
