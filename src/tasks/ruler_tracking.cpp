// RULER's variable tracking: one chain of assignments hidden in noise, after a solved example.

#include <algorithm>
#include <memory>
#include <utility>

#include <fmt/format.h>

#include "tasks/draws.h"
#include "tasks/ruler_draft.h"

namespace dms::tasks {
namespace {

constexpr int64_t kHops = 4;
constexpr int64_t kLetters = 5;         // of a variable
constexpr int64_t kExampleLetters = 3;  // in the solved example
constexpr int64_t kExampleTokens = 500;
constexpr int64_t kExampleShare = 4;  // and at most a quarter of the length
constexpr int64_t kValueDigits = 5;

struct Chain {
  std::vector<std::string> variables;  // each another
  std::string value;
  std::vector<double> depths;  // rising, of each assignment
};

Chain draw_chain(int64_t letters, Random& random) {
  Chain chain{.variables = {}, .value = draw_number(kValueDigits, random), .depths = {}};
  while (std::ssize(chain.variables) <= kHops) {
    std::string variable;
    for (int64_t i = 0; i < letters; ++i) {
      variable += static_cast<char>('A' + random.below('Z' - 'A' + 1));
    }
    if (std::ranges::find(chain.variables, variable) != chain.variables.end()) continue;
    chain.variables.push_back(std::move(variable));
    chain.depths.push_back(draw_share(random));
  }
  std::ranges::sort(chain.depths);
  return chain;
}

std::string assignment(const Chain& chain, size_t index) {
  const std::string& variable = chain.variables[index];
  return index == 0 ? fmt::format("VAR {} = {}", variable, chain.value)
                    : fmt::format("VAR {} = VAR {} ", variable, chain.variables[index - 1]);
}

std::string hidden(const Chain& chain, int64_t lines) {
  std::string context;
  size_t next = 0;
  for (int64_t line = 0; line < lines; ++line) {
    while (next < chain.depths.size() &&
           chain.depths[next] * static_cast<double>(lines) < static_cast<double>(line + 1)) {
      context += assignment(chain, next++) + "\n";
    }
    context += std::string(kNoiseLine) + "\n";
  }
  return context;
}

RulerPrompt worded(const Chain& chain, const std::string& example, int64_t lines) {
  RulerPrompt prompt;
  prompt.context = fmt::format(
      "{}Memorize and track the chain(s) of variable assignment hidden in the following "
      "text.\n\n{}",
      example,
      hidden(chain, lines));
  prompt.question =
      fmt::format("Question: Find all variables that are assigned the value {} in the text above.",
                  chain.value);
  prompt.answer_prefix = fmt::format(
      " Answer: According to the chain(s) of variable assignment in the text above, {} variables "
      "are assigned the value {}, they are: ",
      chain.variables.size(),
      chain.value);
  prompt.answers = chain.variables;
  return prompt;
}

RulerDraft draft(const Chain& chain, const std::string& example) {
  auto shared = std::make_shared<const std::pair<Chain, std::string>>(chain, example);
  return {
      .write = [shared](int64_t lines) { return worded(shared->first, shared->second, lines); }};
}

}  // namespace

RulerDraft draft_tracking(const RulerSettings& settings, Random random, const CountTokens& count) {
  const RulerDraft solved = draft(draw_chain(kExampleLetters, random), "");
  const int64_t room = std::min(kExampleTokens, settings.length / kExampleShare);
  // An example that does not fit is as small as can be; the whole prompt's length is what counts.
  const bool fits = count(solved.write(solved.least).text()) <= room;
  const RulerPrompt example =
      fits ? write_within(solved, "vt", room, count) : solved.write(solved.least);
  std::string text = example.text();
  for (const std::string& answer : example.answers) text += " " + answer;
  return draft(draw_chain(kLetters, random), text + "\n\n");
}

}  // namespace dms::tasks
