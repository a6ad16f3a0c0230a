#include "cli/longbench_words.h"

#include "cli/eval_run.h"
#include "cli/interrupt_flag.h"
#include "eval/segmenter.h"

namespace dms::cli {

std::vector<std::string> LongBenchWords::divided(const std::vector<std::string>& texts) const {
  const InterruptFlag interrupt;
  const eval::Segmenter segmenter(segmenter_, [&interrupt] {
    if (interrupt.is_set()) throw Interrupted();
  });
  return segmenter.words_of(texts);
}

void LongBenchWords::divide_references(std::span<tasks::LongBenchRecord* const> records) const {
  std::vector<std::string> references;
  for (const tasks::LongBenchRecord* record : records) {
    references.insert(references.end(), record->answers.begin(), record->answers.end());
  }
  std::vector<std::string> words = divided(references);
  size_t next = 0;
  for (tasks::LongBenchRecord* record : records) {
    for (size_t i = 0; i < record->answers.size(); ++i) {
      record->answer_words.push_back(std::move(words[next++]));
    }
  }
}

bool LongBenchWords::divide_answers(const std::vector<std::string>& answers) {
  try {
    const std::vector<std::string> words = divided(answers);
    for (size_t i = 0; i < answers.size(); ++i) words_[answers[i]] = words[i];
    return true;
  } catch (const InputError& error) {
    failure_text_ = error.what();
    failure_ = error;
  } catch (const Interrupted&) {
    failure_text_ = "interrupted";
  }
  return false;
}

void LongBenchWords::throw_failure(bool has_rows) const {
  if (failure_) throw InputError(*failure_);
  if (!failure_text_.empty()) throw Interrupted(has_rows);
}

}  // namespace dms::cli
