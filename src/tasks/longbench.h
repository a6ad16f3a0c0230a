#pragma once
// The tasks of LongBench (arXiv 2308.14508) from its own JSON Lines files, which a user has: a file
// a task, DIR/hotpotqa.jsonl. Prompts have its structure (what is to be done, the context, the
// question, the answer's beginning) in words of ours; too long a context loses its middle, as
// there.

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tasks/ruler.h"

namespace dms::tasks {

/// The two `segmented` ones are of texts whose words are divided by blanks, as a segmenter does it.
enum class LongBenchScore {
  word_f1,
  rouge_l,
  classes,
  number,
  code,
  segmented_f1,
  segmented_rouge_l
};

struct LongBenchTask {
  std::string_view name;
  int64_t answer_tokens;
  LongBenchScore score;
  bool is_one_line;          // of the answer the first line counts
  std::string_view before;   // the context
  std::string_view between;  // context and question
  std::string_view after;    // the question: how the answer begins

  bool needs_words() const {
    return score == LongBenchScore::segmented_f1 || score == LongBenchScore::segmented_rouge_l;
  }
};

std::span<const LongBenchTask> longbench_tasks();
/// Throws InputError on an unknown name.
const LongBenchTask& find_longbench_task(const std::string& name);

/// One line of a file.
struct LongBenchRecord {
  std::string input;  // the question; may be empty
  std::string context;
  std::vector<std::string> answers;         // the best of them counts
  std::vector<std::string> classes;         // of classification
  std::vector<std::string> answer_words{};  // of a task that needs words: the answers', by blanks
};

/// The first `most` records. Throws InputError naming file and line.
std::vector<LongBenchRecord> read_longbench(const std::filesystem::path& file, int64_t most);

/// The prompt, of at most so many tokens: the context's middle is left out. Throws InputError where
/// all but the context takes more.
RulerPrompt make_longbench_prompt(const LongBenchTask& task,
                                  const LongBenchRecord& record,
                                  int64_t tokens,
                                  const CountTokens& count);

/// 0 to 1. Of a task that needs words `answer` is divided by blanks, as the record's answer_words.
double longbench_score(const LongBenchTask& task,
                       const LongBenchRecord& record,
                       const std::string& answer);

}  // namespace dms::tasks
