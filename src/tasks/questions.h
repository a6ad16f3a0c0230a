#pragma once
// Questions about documents, from the files of two data sets (policies.md section 15).

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

namespace dms::tasks {

struct Question {
  std::string text;
  std::vector<std::string> answers;  // any of them is right
  std::vector<size_t> documents;     // those that hold the answer
  std::vector<size_t> related;       // of the same article: taken first to fill up
};

struct QuestionSet {
  std::vector<Question> questions;
  std::vector<std::string> documents;  // each once, sorted
};

/// SQuAD 2.0's JSON; questions without an answer are left out. Throws InputError.
QuestionSet read_squad(const std::filesystem::path& file);
/// HotpotQA's JSON of the "distractor" setting. Throws InputError.
QuestionSet read_hotpot(const std::filesystem::path& file);

}  // namespace dms::tasks
