#pragma once
// What an evaluation has measured so far: records by key, in memory, and in a folder where one is
// named, so that a second run goes on where the first one stopped, however that ended.

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/folder_lock.h"

namespace dms::eval {

struct Record {
  std::map<std::string, double> numbers{};
  std::map<std::string, std::string> texts{};

  double number(const std::string& name) const;     // 0 where there is none
  std::string text(const std::string& name) const;  // "" where there is none
  bool operator==(const Record&) const = default;
};

/// What the records depend on beside their keys: model, text, lengths, seeds; `format` says what
/// they mean.
using Identity = std::map<std::string, std::string>;

/// A record that an evaluation comes to, whether it is there yet or not.
struct PlannedRecord {
  std::string policy;  // as the user wrote it
  std::string key;
  std::shared_ptr<const Record> form{};  // has the numbers and texts that such a record must have
};

class Store {
 public:
  /// In memory only.
  Store() = default;
  /// In `folder`/results.jsonl, which is made where it is missing: a line of JSON for the identity
  /// and one for each record. Of a line that a killed run left unfinished nothing is taken. Throws
  /// InputError where the folder holds results of another identity and not `force`, is no such
  /// folder, or is another process's at the moment: it holds a lock on it as long as it lives. What
  /// is wrong with a record is said with its line.
  /// `files`: what only some records depend on, such as a task's questions; more of them may come
  /// with later runs, but none may become another one.
  Store(const std::filesystem::path& folder,
        const Identity& identity,
        bool force,
        const Identity& files = {});

  /// Where a folder has its records.
  static std::filesystem::path file_in(const std::filesystem::path& folder);

  const Record* find(const std::string& key) const;
  /// Throws RunError on a full disk.
  void put(const std::string& key, Record record);
  /// Takes records out, in the folder too. Throws RunError as put().
  void forget(const std::vector<std::string>& keys);
  /// Throws InputError where one of these lacks what its form has.
  void check(const std::vector<PlannedRecord>& planned) const;
  /// Records that were there when it was opened, without those that were taken out.
  size_t found() const { return found_; }

 private:
  void load(const Identity& files);
  void load_record(std::string_view text, const std::string& place, size_t line);
  void add_files(const Identity& stored, const Identity& files);
  void append(const std::string& line);
  void write_all();

  std::filesystem::path file_;  // empty: in memory
  FolderLock lock_;
  Identity identity_;  // with all files that records depend on
  std::map<std::string, Record> records_;
  std::map<std::string, size_t> lines_;  // of the file as it was read or written whole, from 1
  size_t found_ = 0;
};

}  // namespace dms::eval
