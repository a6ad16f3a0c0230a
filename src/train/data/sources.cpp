#include "train/data/sources.h"

#include <algorithm>
#include <set>
#include <span>
#include <string_view>
#include <utility>

#include <glob.h>

#include "dms/error.h"

namespace dms::train::data {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

bool is_known(const fs::path& path) {
  return path.extension() == ".jsonl" || path.extension() == ".txt";
}

std::string setting_of(const DatasetSection& dataset) {
  return "data.datasets." + dataset.name + ".path";
}

void add_folder(const fs::path& folder, std::vector<fs::path>& found) {
  for (auto it = fs::recursive_directory_iterator(folder); it != fs::end(it); ++it) {
    const bool is_hidden = it->path().filename().string().starts_with('.');
    if (is_hidden && it->is_directory()) it.disable_recursion_pending();
    if (!is_hidden && it->is_regular_file() && is_known(it->path())) found.push_back(it->path());
  }
}

void add_existing(const fs::path& path, const std::string& setting, std::vector<fs::path>& found) {
  if (fs::is_directory(path)) {
    add_folder(path, found);
  } else if (is_known(path)) {
    found.push_back(path);
  } else {
    throw InputError(
        {.where = setting + ": " + path.string(),
         .what = "unknown kind of file",
         .expected = ".jsonl (a record a line), .txt or a folder",
         .hint = path.extension() == ".parquet" ? "convert it with scripts/parquet_to_jsonl" : ""});
  }
}

std::vector<fs::path> expand(const fs::path& path, const std::string& setting) {
  std::vector<fs::path> found;
  if (fs::exists(path)) {
    add_existing(path, setting, found);
  } else {
    glob_t matches{};
    const int status = ::glob(path.c_str(), GLOB_NOSORT, nullptr, &matches);
    std::vector<fs::path> paths(matches.gl_pathv, matches.gl_pathv + matches.gl_pathc);
    ::globfree(&matches);
    if (status != 0 || paths.empty()) {
      throw InputError({.where = setting, .what = "no such file or folder", .got = path.string()});
    }
    for (const fs::path& match : paths) add_existing(match, setting, found);
  }
  std::ranges::sort(found);
  return found;
}

SourceFile describe(const fs::path& path) {
  return {.path = path,
          .canonical = fs::canonical(path),
          .bytes = static_cast<int64_t>(fs::file_size(path))};
}

[[noreturn]] void throw_too_long(const std::string& where) {
  throw InputError(
      {.where = where,
       .what = "record is too long",
       .expected = std::to_string(RecordReader::kMaxRecordBytes >> 20) + " MiB at most"});
}

}  // namespace

std::vector<SourceFile> find_sources(const DatasetSection& dataset) {
  const std::string setting = setting_of(dataset);
  std::vector<SourceFile> files;
  std::set<fs::path> seen;
  try {
    for (const fs::path& path : dataset.paths) {
      for (const fs::path& file : expand(path, setting)) {
        SourceFile source = describe(file);
        if (seen.insert(source.canonical).second) files.push_back(std::move(source));
      }
    }
  } catch (const fs::filesystem_error& error) {
    throw InputError(
        {.where = error.path1().string(), .what = "cannot be read: " + error.code().message()});
  }
  if (files.empty()) {
    throw InputError({.where = setting, .what = "no .jsonl or .txt files found"});
  }
  return files;
}

bool RecordReader::open_next() {
  if (next_file_ == files_.size()) return false;
  const SourceFile& source = files_[next_file_++];
  file_ = std::make_unique<InputFile>(source.path);
  is_text_ = source.is_text();
  held_.clear();
  at_ = 0;
  read_ = 0;
  line_ = 0;
  hold_more();
  if (held_.starts_with(kByteOrderMark)) at_ = kByteOrderMark.size();
  return true;
}

/// Reads the file's next piece; what has been handed out is let go. False at the file's end.
bool RecordReader::hold_more() {
  constexpr int64_t kPieceBytes = int64_t{1} << 20;
  const int64_t count = std::min(kPieceBytes, file_->bytes() - read_);
  if (count == 0) return false;
  held_.erase(0, at_);
  at_ = 0;
  const size_t kept = held_.size();
  held_.resize(kept + static_cast<size_t>(count));
  file_->read(read_, std::as_writable_bytes(std::span(held_).subspan(kept)));
  read_ += count;
  return true;
}

std::string RecordReader::next_line() {
  size_t searched = 0;  // behind at_
  for (;;) {
    const size_t end = std::min(held_.find('\n', at_ + searched), held_.size());
    const std::string_view line = std::string_view(held_).substr(at_, end - at_);
    if (std::ssize(line) > kMaxRecordBytes) {
      throw_too_long(file_->path().string() + ":" + std::to_string(line_ + 1));
    }
    searched = line.size();
    if (end == held_.size() && hold_more()) continue;
    std::string found(held_, at_, searched);
    at_ = std::min(held_.size(), at_ + searched + 1);
    return found;
  }
}

std::string RecordReader::whole_text() {
  if (file_->bytes() - static_cast<int64_t>(at_) > kMaxRecordBytes) {
    throw_too_long(file_->path().string());
  }
  while (hold_more()) {
  }
  std::string text = held_.substr(at_);
  at_ = held_.size();
  return text;
}

Record RecordReader::next_record() {
  const std::string path = file_->path().string();
  if (is_text_) return {.text = whole_text(), .is_json = false, .where = path};
  std::string line = next_line();
  return {.text = std::move(line), .is_json = true, .where = path + ":" + std::to_string(++line_)};
}

std::vector<Record> RecordReader::next_batch(int64_t bytes) {
  constexpr size_t kMaxRecords = 8192;
  std::vector<Record> batch;
  int64_t held = 0;
  while (batch.size() < kMaxRecords) {
    if (!file_ || at_end()) {
      if (!open_next()) break;
      continue;
    }
    Record record = next_record();
    const bool is_blank = record.text.find_first_not_of(" \t\r") == std::string::npos;
    if (record.is_json && is_blank) continue;
    held += std::ssize(record.text);
    batch.push_back(std::move(record));
    if (held >= bytes) break;
  }
  return batch;
}

}  // namespace dms::train::data
