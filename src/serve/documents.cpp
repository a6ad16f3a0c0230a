#include "serve/documents.h"

#include <algorithm>
#include <set>
#include <utility>

#include <sys/stat.h>

#include "dms/document_prompt.h"
#include "serve/kept_file.h"

namespace dms::serve {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSuffix = ".dmsdoc";

ApiError no_room(const std::string& what, const std::string& hint) {
  return {507, what + "; " + hint, "", "insufficient_storage"};
}

DocumentEntry entry_of(const std::string& name, const DocumentFile& file) {
  DocumentNote note = read_note(file.note(), name);
  return {.name = name,
          .messages = std::move(note.messages),
          .note = file.note(),
          .created = note.created,
          .ids = {file.ids().begin(), file.ids().end()},
          .cache = file.cache(),
          .dense_tokens = file.dense_tokens(),
          .held_tokens = file.held_tokens(),
          .held_bytes = file.held_bytes(),
          .file_bytes = file.bytes()};
}

}  // namespace

void Documents::scan(const LLM& llm, const std::function<void(const std::string&)>& notice) {
  if (!has_folder()) return;
  std::map<std::string, Item> items;
  std::error_code error;
  fs::directory_iterator(settings_.folder, error);
  if (error) notice(settings_.folder.string() + ": cannot be listed: " + error.message());
  for (const std::string& name : names_in_folder()) {
    try {
      if (std::ssize(items) == settings_.most) {
        throw InputError({.field = "--max-documents", .what = "there are as many already"});
      }
      const std::optional<FileStamp> stamp = stamp_of(name);
      const DocumentFile file = llm.open_document(file_of(name));
      items[name] = {.entry = std::make_shared<const DocumentEntry>(entry_of(name, file)),
                     .stamp = stamp};
    } catch (const std::exception& reason) {
      notice((settings_.folder / (name + kSuffix)).string() +
             " is none of the documents: " + reason.what());
    }
  }
  const std::lock_guard lock(mutex_);
  items_ = std::move(items);
  if (settings_.is_shared) llm_ = &llm;
}

/// In order.
std::vector<std::string> Documents::names_in_folder() const {
  std::set<std::string> names;
  std::error_code error;
  for (const fs::directory_entry& found : fs::directory_iterator(settings_.folder, error)) {
    if (found.path().extension() == kSuffix) names.insert(found.path().stem().string());
  }
  return {names.begin(), names.end()};
}

/// Nothing where no document may have the name, or has.
std::optional<FileStamp> Documents::stamp_of(const std::string& name) const {
  struct stat status {};
  try {
    if (::stat(file_of(name).c_str(), &status) != 0) return std::nullopt;
  } catch (const ApiError&) {
    return std::nullopt;
  }
  constexpr int64_t kBillion = 1'000'000'000;
  return FileStamp{.inode = status.st_ino,
                   .changed_ns = status.st_mtim.tv_sec * kBillion + status.st_mtim.tv_nsec,
                   .bytes = status.st_size};
}

/// Where others write to the folder too: what is known of the name becomes what lies there. A file
/// that is no document of the model is none.
void Documents::look(const std::string& name) const {
  if (llm_ == nullptr) return;
  const std::optional<FileStamp> stamp = stamp_of(name);
  {
    const std::lock_guard lock(mutex_);
    const auto found = items_.find(name);
    const bool is_known = found != items_.end();
    if (is_known ? found->second.stamp == stamp : !stamp) return;
    if (is_known) items_.erase(found);
    if (!stamp || std::ssize(items_) >= settings_.most) return;
  }
  try {
    const DocumentFile file = llm_->open_document(file_of(name));
    Item item{.entry = std::make_shared<const DocumentEntry>(entry_of(name, file)), .stamp = stamp};
    const std::lock_guard lock(mutex_);
    items_.try_emplace(name, std::move(item));
  } catch (const std::exception&) {  // as if there were none
  }
}

void Documents::look_at_all() const {
  if (llm_ == nullptr) return;
  std::vector<std::string> names = names_in_folder();
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [name, item] : items_) names.push_back(name);
  }
  for (const std::string& name : names) look(name);
}

fs::path Documents::file_of(const std::string& name) const {
  return kept_file(settings_.folder, name, "name", kSuffix);
}

EntryPointer Documents::find(const std::string& name) const {
  look(name);
  const std::lock_guard lock(mutex_);
  const auto found = items_.find(name);
  return found == items_.end() ? nullptr : found->second.entry;
}

std::vector<Documents::Listed> Documents::list() const {
  look_at_all();
  const std::lock_guard lock(mutex_);
  std::vector<Listed> all;
  for (const auto& [name, item] : items_) {
    all.push_back({.entry = item.entry, .is_in_memory = item.document.has_value()});
  }
  return all;
}

DocumentStats Documents::stats() const {
  const std::lock_guard lock(mutex_);
  DocumentStats stats{.documents = std::ssize(items_), .uses = requests_, .loads = loads_};
  for (const auto& [name, item] : items_) {
    stats.file_bytes += item.entry->file_bytes;
    if (!item.document) continue;
    ++stats.in_memory;
    stats.memory_bytes += item.document->held_bytes();
  }
  return stats;
}

void Documents::require_place(const std::string& name) const {
  look(name);
  const std::lock_guard lock(mutex_);
  check_place(name);
}

/// The names of those that are being made count.
void Documents::check_place(const std::string& name) const {
  std::set<std::string> fresh;
  for (const auto& [other, bytes] : reserved_) {
    if (!items_.contains(other)) fresh.insert(other);
  }
  if (items_.contains(name) || fresh.contains(name)) return;
  std::error_code unreadable;  // then nothing will be written either
  if (has_folder() && fs::exists(file_of(name), unreadable)) {
    throw ApiError(
        409,
        "a file of this name is none of the documents; who runs the server may remove it",
        "name",
        "not_a_document");
  }
  const size_t count = items_.size() + fresh.size();
  if (static_cast<int64_t>(count) < settings_.most) return;
  throw no_room("there are " + std::to_string(count) + " documents already",
                "delete one, or start the server with more --max-documents");
}

/// Of all but the one named, and of those that are being made.
int64_t Documents::held_bytes(const std::string& name) const {
  int64_t bytes = 0;
  for (const auto& [other, item] : items_) {
    if (item.document && other != name) bytes += item.document->held_bytes();
  }
  for (const auto& [other, reserved] : reserved_) bytes += reserved;
  return bytes;
}

/// But for the one named. Null: whatever is in memory is nowhere else.
Documents::Item* Documents::oldest_that_may_leave(const std::string& name) {
  Item* oldest = nullptr;
  for (auto& [other, item] : items_) {
    if (!item.document || item.entry->file_bytes == 0 || other == name) continue;
    if (oldest == nullptr || item.last_use < oldest->last_use) oldest = &item;
  }
  return oldest;
}

/// False: the one named, with `bytes` bytes, does not fit beside those that cannot leave.
bool Documents::shrink(int64_t bytes, const std::string& name) {
  while (held_bytes(name) + bytes > settings_.memory_bytes) {
    Item* leaving = bytes <= settings_.memory_bytes ? oldest_that_may_leave(name) : nullptr;
    if (leaving == nullptr) return false;
    leaving->document.reset();
  }
  return true;
}

void Documents::make_room(int64_t bytes, const std::string& name) {
  const std::lock_guard lock(mutex_);
  require_room(bytes, name);
}

void Documents::reserve(const std::string& name, int64_t bytes) {
  const std::lock_guard lock(mutex_);
  check_place(name);
  require_room(bytes, name);
  reserved_.emplace(name, bytes);
}

void Documents::give_up(const std::string& name, int64_t bytes) {
  const std::lock_guard lock(mutex_);
  leave_reserved(name, bytes);
}

void Documents::leave_reserved(const std::string& name, int64_t bytes) {
  const auto found = reserved_.find({name, bytes});
  if (found != reserved_.end()) reserved_.erase(found);
}

void Documents::require_room(int64_t bytes, const std::string& name) {
  if (shrink(bytes, name)) return;
  throw no_room("no room for the " + std::to_string(bytes) + " bytes of the document in the " +
                    std::to_string(settings_.memory_bytes) + " of --document-memory",
                "delete others, compress it more, or start the server with more");
}

bool Documents::drop_oldest() {
  const std::lock_guard lock(mutex_);
  Item* leaving = oldest_that_may_leave("");
  if (leaving != nullptr) leaving->document.reset();
  return leaving != nullptr;
}

std::optional<Document> Documents::use(const DocumentEntry& entry) {
  const std::lock_guard lock(mutex_);
  const auto found = items_.find(entry.name);
  if (found == items_.end() || found->second.entry.get() != &entry) return std::nullopt;
  found->second.last_use = ++uses_;
  if (found->second.document) ++requests_;
  return found->second.document;
}

void Documents::hold(const EntryPointer& entry, Document document) {
  const std::lock_guard lock(mutex_);
  ++loads_;
  const auto found = items_.find(entry->name);
  if (found == items_.end() || found->second.entry != entry) return;
  found->second.document = std::move(document);
  found->second.last_use = ++uses_;
  shrink(entry->held_bytes, entry->name);  // others may have come at the same time
}

bool Documents::put(EntryPointer entry, Document document) {
  const std::lock_guard lock(mutex_);
  const std::string name = entry->name;
  leave_reserved(name, entry->held_bytes);
  Item item{.entry = std::move(entry),
            .document = std::move(document),
            .last_use = ++uses_,
            .stamp = llm_ != nullptr ? stamp_of(name) : std::nullopt};
  return !items_.insert_or_assign(name, std::move(item)).second;
}

bool Documents::erase(const std::string& name) {
  const std::lock_guard lock(mutex_);
  return items_.erase(name) > 0;
}

OutJson document_json(const DocumentEntry& entry, bool is_in_memory) {
  const CacheOptions& cache = entry.cache;
  return {{"name", entry.name},
          {"object", "dms.document"},
          {"created", entry.created},
          {"form", entry.is_chat() ? "messages" : "prompt"},
          {"tokens", entry.ids.size()},
          {"held_tokens", entry.held_tokens},
          {"dense_tokens", entry.dense_tokens},
          {"bytes", entry.held_bytes},
          {"file_bytes", entry.file_bytes},
          {"in_memory", is_in_memory},
          {"policy", cache.policy},
          {"policy_args", cache.policy_args},
          {"window", cache.window_tokens ? OutJson(*cache.window_tokens) : OutJson()},
          {"kv_dtype", cache.kv_dtype.empty() ? OutJson() : OutJson(cache.kv_dtype)}};
}

}  // namespace dms::serve
