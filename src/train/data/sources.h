#pragma once
// The files of a dataset and the records in them: a line of a .jsonl file, or a whole .txt file.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/input_file.h"
#include "train/config/train_config.h"

namespace dms::train::data {

struct SourceFile {
  std::filesystem::path path;       // as the settings lead to it
  std::filesystem::path canonical;  // the same file has the same one
  int64_t bytes = 0;

  bool is_text() const { return path.extension() == ".txt"; }
};

/// The dataset's files: each path in turn, globs expanded, of folders all .jsonl and .txt files
/// below them (hidden ones aside), sorted; a file named twice is taken once. Throws InputError when
/// a path is missing, of an unknown kind, or nothing is found.
std::vector<SourceFile> find_sources(const DatasetSection& dataset);

struct Record {
  std::string text;  // a line of JSON, or a whole text
  bool is_json = false;
  std::string where;  // "FILE:LINE" or "FILE"
};

/// Walks through all files once. One thread at a time.
class RecordReader {
 public:
  static constexpr int64_t kMaxRecordBytes = int64_t{256} << 20;

  /// `files` must outlive this.
  explicit RecordReader(const std::vector<SourceFile>& files) : files_(files) {}

  /// The next records, together no more than `bytes` unless the first alone is larger; none at the
  /// end. Throws InputError on records beyond kMaxRecordBytes and unreadable files.
  std::vector<Record> next_batch(int64_t bytes);

 private:
  bool open_next();
  bool at_end() const { return at_ == held_.size() && read_ == file_->bytes(); }
  bool hold_more();
  std::string next_line();
  std::string whole_text();
  Record next_record();

  const std::vector<SourceFile>& files_;
  size_t next_file_ = 0;
  std::unique_ptr<InputFile> file_;
  bool is_text_ = false;
  std::string held_;  // a piece of file_
  size_t at_ = 0;     // of the next record in held_
  int64_t read_ = 0;  // bytes of file_ up to the end of held_
  int64_t line_ = 0;  // lines before the next record
};

}  // namespace dms::train::data
