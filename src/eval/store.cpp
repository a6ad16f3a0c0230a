#include "eval/store.h"

#include <algorithm>
#include <fstream>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "base/input_file.h"
#include "base/json.h"
#include "base/output_file.h"
#include "dms/error.h"

namespace dms::eval {
namespace {

constexpr int64_t kMaxBytes = int64_t{1} << 30;
constexpr double kMostNumber = 0x1p53;  // counts of tokens and bytes are whole up to there
constexpr const char* kFormat = "format";

Json to_json(const Identity& identity) { return {{"evaluation", identity}}; }

Json to_json(const std::string& key, const Record& record) {
  return {{"key", key}, {"numbers", record.numbers}, {"texts", record.texts}};
}

std::string line_of(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

[[noreturn]] void refuse_line(const Error& error, const std::string& place = {}) {
  ErrorParts parts = error.parts();
  if (!place.empty()) parts.where = place;
  parts.hint = "take the line out to measure it again, or --force to begin again";
  throw InputError(parts);
}

/// `place` stands for the line that the parser counts, which is always its first.
Json parse_line(std::string_view text, const std::string& place) {
  try {
    return parse_json(text, place);
  } catch (const InputError& error) {
    refuse_line(error, place);
  }
}

Record record_of(const JsonFields& fields) {
  Record record;
  if (const Json* numbers = fields.find("numbers")) {
    const JsonFields list(*numbers, fields.where() + ": numbers");
    for (const auto& [name, value] : numbers->items()) {
      if (!value.is_null()) record.numbers[name] = list.number(name, -kMostNumber, kMostNumber);
    }
  }
  if (const Json* texts = fields.find("texts")) {
    const JsonFields list(*texts, fields.where() + ": texts");
    for (const auto& [name, value] : texts->items()) {
      if (!value.is_null()) record.texts[name] = list.string(name);
    }
  }
  return record;
}

/// Names the first that a record lacks of what its form has.
template <class Values>
void require_all(const Values& found, const Values& form, const std::string& place) {
  for (const auto& [name, value] : form) {
    if (!found.contains(name))
      refuse_line(InputError({.where = place, .field = name, .what = "missing"}));
  }
}

/// What a folder's first line says that its records depend on.
Identity identity_of(const Json& line, const std::string& where) {
  const Json* stored =
      line.is_object() && line.contains("evaluation") ? &line["evaluation"] : nullptr;
  if (stored == nullptr || !stored->is_object()) {
    throw InputError({.where = where, .what = "not the results of an evaluation"});
  }
  Identity identity;
  for (const auto& [name, value] : stored->items()) {
    if (value.is_string()) identity[name] = value.get<std::string>();
  }
  return identity;
}

/// Of no such setting: empty.
std::string value_of(const Identity& identity, const std::string& name) {
  const auto found = identity.find(name);
  return found == identity.end() ? "" : found->second;
}

[[noreturn]] void refuse(const std::string& where,
                         const std::string& name,
                         const char* what,
                         const std::string& got,
                         const std::string& expected) {
  throw InputError({.where = where,
                    .field = name,
                    .what = what,
                    .got = fmt::format("'{}'", got),
                    .expected = fmt::format("'{}'", expected),
                    .hint = "name another folder, or --force to begin again"});
}

/// Names the first setting that differs; the form of the records before any other.
void require_same(const Identity& stored, const Identity& wanted, const std::string& where) {
  const auto require = [&](const std::string& name, const char* what) {
    const std::string got = value_of(stored, name);
    const std::string expected = value_of(wanted, name);
    if (got != expected) refuse(where, name, what, got, expected);
  };
  if (wanted.contains(kFormat)) require(kFormat, "holds results of another version of dms");
  for (const auto& [name, value] : wanted) require(name, "holds results of other settings");
}

}  // namespace

double Record::number(const std::string& name) const {
  const auto found = numbers.find(name);
  return found == numbers.end() ? 0.0 : found->second;
}

std::string Record::text(const std::string& name) const {
  const auto found = texts.find(name);
  return found == texts.end() ? "" : found->second;
}

Store::Store(const std::filesystem::path& folder,
             const Identity& identity,
             bool force,
             const Identity& files)
    : file_(file_in(folder)), identity_(identity) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) throw_write_error(folder, error.value());
  lock_ = FolderLock(folder);
  if (!force && std::filesystem::exists(file_, error)) {
    load(files);
  } else {
    identity_.insert(files.begin(), files.end());
    write_all();
  }
}

std::filesystem::path Store::file_in(const std::filesystem::path& folder) {
  return folder / "results.jsonl";
}

void Store::load(const Identity& files) {
  const std::string where = file_.string();
  const std::string text = read_text_file(file_, kMaxBytes);
  Identity stored;
  size_t begin = 0;
  size_t number = 0;
  for (size_t end = text.find('\n'); end != std::string::npos; end = text.find('\n', begin)) {
    const std::string_view line = std::string_view(text).substr(begin, end - begin);
    const std::string place = fmt::format("{}:{}", where, ++number);
    if (begin == 0) {
      stored = identity_of(parse_line(line, place), where);
      require_same(stored, identity_, where);
    } else {
      load_record(line, place, number);
    }
    begin = end + 1;
  }
  if (begin == 0) identity_of({}, where);
  if (begin < text.size()) std::filesystem::resize_file(file_, begin);
  found_ = records_.size();
  add_files(stored, files);
}

void Store::load_record(std::string_view text, const std::string& place, size_t line) {
  const Json json = parse_line(text, place);
  try {
    const JsonFields fields(json, place);
    const std::string key = fields.string("key");
    records_[key] = record_of(fields);
    lines_[key] = line;
  } catch (const InputError& error) {
    refuse_line(error);
  }
}

void Store::check(const std::vector<PlannedRecord>& planned) const {
  for (const PlannedRecord& wanted : planned) {
    const auto found = records_.find(wanted.key);
    if (found == records_.end() || wanted.form == nullptr) continue;
    const auto line = lines_.find(wanted.key);
    if (line == lines_.end()) continue;  // of this run
    const std::string place = fmt::format("{}:{}", file_.string(), line->second);
    require_all(found->second.numbers, wanted.form->numbers, place + ": numbers");
    require_all(found->second.texts, wanted.form->texts, place + ": texts");
  }
}

void Store::add_files(const Identity& stored, const Identity& files) {
  identity_.insert(stored.begin(), stored.end());
  bool has_more = false;
  for (const auto& [name, content] : files) {
    std::string& known = identity_[name];
    if (known == content) continue;
    if (!known.empty()) {
      refuse(file_.string(), name, "holds results of another file", known, content);
    }
    known = content;
    has_more = true;
  }
  if (has_more) write_all();
}

const Record* Store::find(const std::string& key) const {
  const auto found = records_.find(key);
  return found == records_.end() ? nullptr : &found->second;
}

void Store::put(const std::string& key, Record record) {
  if (!file_.empty()) append(line_of(to_json(key, record)));
  records_[key] = std::move(record);
}

void Store::forget(const std::vector<std::string>& keys) {
  size_t gone = 0;
  for (const std::string& key : keys) gone += records_.erase(key);
  if (gone == 0) return;
  found_ -= std::min(found_, gone);
  if (!file_.empty()) write_all();
}

void Store::write_all() {
  std::string lines = line_of(to_json(identity_));
  lines_.clear();
  size_t line = 1;
  for (const auto& [key, record] : records_) {
    lines += line_of(to_json(key, record));
    lines_[key] = ++line;
  }
  write_text_file(file_, lines);
}

void Store::append(const std::string& line) {
  std::ofstream out(file_, std::ios::app | std::ios::binary);
  out << line << std::flush;
  if (!out) throw RunError({.where = file_.string(), .what = "cannot write"});
}

}  // namespace dms::eval
