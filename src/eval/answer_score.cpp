#include <cctype>
#include <string_view>

#include "eval/task_eval.h"

namespace dms::eval {
namespace {

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; }

/// Without the space and punctuation before its first letter or digit.
std::string_view trimmed(std::string_view text) {
  while (!text.empty() && !is_word(text.front())) text.remove_prefix(1);
  return text;
}

bool begins_right(std::string_view answer, const std::string& reference) {
  const std::string_view text = trimmed(answer);
  if (!text.starts_with(reference)) return false;
  return text.size() == reference.size() || !is_word(text[reference.size()]);
}

tasks::RulerMetric metric_of(AnswerRule rule) {
  return rule == AnswerRule::any_given ? tasks::RulerMetric::any : tasks::RulerMetric::all;
}

}  // namespace

double score_answer(const std::string& answer,
                    const std::vector<std::string>& references,
                    AnswerRule rule) {
  if (rule != AnswerRule::begins_right) {
    return tasks::ruler_score(answer, references, metric_of(rule));
  }
  return begins_right(answer, references.front()) ? 1.0 : 0.0;
}

bool is_decided(const std::string& answer,
                const std::vector<std::string>& references,
                AnswerRule rule) {
  if (rule == AnswerRule::begins_right) return trimmed(answer).size() > references.front().size();
  return score_answer(answer, references, rule) == 1.0;
}

}  // namespace dms::eval
