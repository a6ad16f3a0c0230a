#pragma once
// The words of answers and references of LongBench's Chinese tasks, as --segmenter finds them.

#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "dms/error.h"
#include "tasks/longbench.h"

namespace dms::cli {

/// References are divided before anything is measured, so that a command that does not work is
/// refused then; answers all at once when the last is there, since a command may write nothing
/// before it has read everything.
class LongBenchWords {
 public:
  explicit LongBenchWords(std::vector<std::string> segmenter) : segmenter_(std::move(segmenter)) {}

  /// Fills answer_words. Throws InputError, and Interrupted after a Ctrl-C.
  void divide_references(std::span<tasks::LongBenchRecord* const> records) const;
  /// False where that failed: by then a table waits to be printed, so failure() tells it.
  bool divide_answers(const std::vector<std::string>& answers);
  /// The words of one of these.
  const std::string& of(const std::string& answer) const { return words_.at(answer); }

  const std::string& failure() const { return failure_text_; }  // "": none
  /// After the table has been printed. `has_rows`: whether it has any.
  void throw_failure(bool has_rows) const;

 private:
  std::vector<std::string> divided(const std::vector<std::string>& texts) const;

  std::vector<std::string> segmenter_;
  std::map<std::string, std::string> words_;  // by answer
  std::optional<InputError> failure_;
  std::string failure_text_;
};

}  // namespace dms::cli
