#pragma once
// The named documents of a server: prompts whose cache was computed once. What is known of each is
// here, and the cache of those that were used last; the others' lies in files, where a folder for
// them is named. find(), list() and stats() may be called by any thread, the rest by the I/O
// thread.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "dms/chat.h"
#include "dms/llm.h"
#include "serve/api_error.h"
#include "serve/settings.h"

namespace dms::serve {

/// A document but for its cache. Immutable.
struct DocumentEntry {
  std::string name;
  // What a conversation begins with that goes on from it; empty: it is a text's beginning.
  std::vector<ChatMessage> messages{};
  std::string note{};   // the same, and when it was made: what its file says besides
  int64_t created = 0;  // seconds since 1970
  std::vector<int32_t> ids{};
  CacheOptions cache{};
  int64_t dense_tokens = 0;
  int64_t held_tokens = 0;
  int64_t held_bytes = 0;
  int64_t file_bytes = 0;  // 0: it is in memory alone

  bool is_chat() const { return !messages.empty(); }
};

/// What there is, and what became of it since the server's start.
struct DocumentStats {
  int64_t documents = 0;
  int64_t in_memory = 0;
  int64_t memory_bytes = 0;  // of their pages
  int64_t file_bytes = 0;    // of the files of all
  int64_t uses = 0;          // requests that a document in memory was found for
  int64_t loads = 0;         // caches read from files
};

using EntryPointer = std::shared_ptr<const DocumentEntry>;

/// By which a file is known from one that has taken its place.
struct FileStamp {
  uint64_t inode = 0;
  int64_t changed_ns = 0;
  int64_t bytes = 0;

  bool operator==(const FileStamp&) const = default;
};

class Documents {
 public:
  explicit Documents(const DocumentSettings& settings) : settings_(settings) {}

  /// Looks into the folder, before anything else. What is no document of `llm` is left out, and
  /// told to `notice`. Where others write there too, `llm` outlives this.
  void scan(const LLM& llm, const std::function<void(const std::string&)>& notice);

  /// Null where there is none.
  EntryPointer find(const std::string& name) const;
  struct Listed {
    EntryPointer entry;
    bool is_in_memory = false;
  };
  std::vector<Listed> list() const;
  DocumentStats stats() const;

  bool has_folder() const { return !settings_.folder.empty(); }
  /// Throws ApiError on a bad name, and where something else is in the file's place.
  std::filesystem::path file_of(const std::string& name) const;

  /// Throws ApiError: 507 where another name is one too many, 409 where a file has it that is none
  /// of the documents.
  void require_place(const std::string& name) const;
  /// Has others leave memory, the one used longest ago first, until so many bytes of `name` find
  /// room. Throws ApiError (507) where they do not.
  void make_room(int64_t bytes, const std::string& name);
  /// The same for one that is made now, whose place and bytes are its own until put() or give_up().
  /// Throws as require_place() and make_room().
  void reserve(const std::string& name, int64_t bytes);
  void give_up(const std::string& name, int64_t bytes);
  /// The one used longest ago of those that lie in files leaves memory. False: there is none.
  bool drop_oldest();
  /// The cache of one that is in memory, which is used now.
  std::optional<Document> use(const DocumentEntry& entry);
  /// Its cache is in memory from now on, unless another has taken its name meanwhile.
  void hold(const EntryPointer& entry, Document document);
  /// Adds it, or replaces the one of its name. True: there was one.
  bool put(EntryPointer entry, Document document);
  /// False: there is none.
  bool erase(const std::string& name);

 private:
  struct Item {
    EntryPointer entry;
    std::optional<Document> document{};
    int64_t last_use = 0;
    std::optional<FileStamp> stamp{};  // of a shared folder's file
  };

  std::vector<std::string> names_in_folder() const;
  std::optional<FileStamp> stamp_of(const std::string& name) const;
  void look(const std::string& name) const;
  void look_at_all() const;

  void check_place(const std::string& name) const;
  void require_room(int64_t bytes, const std::string& name);
  void leave_reserved(const std::string& name, int64_t bytes);
  Item* oldest_that_may_leave(const std::string& name);
  int64_t held_bytes(const std::string& name) const;
  bool shrink(int64_t bytes, const std::string& name);

  const DocumentSettings& settings_;
  const LLM* llm_ = nullptr;  // where others write to the folder too
  mutable std::mutex mutex_;  // guards what follows
  mutable std::map<std::string, Item> items_;
  std::multiset<std::pair<std::string, int64_t>> reserved_;  // names and bytes of those being made
  int64_t uses_ = 0;                                         // the last_use of the one used last
  int64_t requests_ = 0;
  int64_t loads_ = 0;
};

/// {name, object, form, tokens, held_tokens, dense_tokens, bytes, policy, …}
OutJson document_json(const DocumentEntry& entry, bool is_in_memory);

}  // namespace dms::serve
