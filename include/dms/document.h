#pragma once
// A text with its compact cache, computed once and kept: requests whose prompt begins with it go on
// from there (Request::document). Each has a branch of its own, which shares the document's memory
// until it writes. A document never changes.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dms/cache.h"

namespace dms {

/// Copies share it. Any thread may call const functions, and let go of the last copy.
class Document {
 public:
  int64_t tokens() const;
  std::span<const int32_t> ids() const;
  /// How its cache was made, and is kept by those who go on from it.
  const CacheOptions& cache() const;
  /// When it was made, or read.
  const KvStats& kv() const;
  /// Of the pages that it holds; those that others refer to as well count in full.
  int64_t held_bytes() const;

  /// Writes it to a file, whole or not at all, for LLM::open_document(), with a text of the
  /// caller's own. Returns the file's bytes. Throws InputError where the file cannot be made,
  /// RunError on a full disk.
  int64_t save(const std::filesystem::path& file, std::string_view note = {}) const;

  /// For the library alone.
  struct State;
  explicit Document(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  const std::shared_ptr<const State>& state() const { return state_; }

 private:
  std::shared_ptr<const State> state_;
};

/// What a file holds that Document::save() or Session::save() wrote: of the cache, what can be told
/// without reading it.
class DocumentFile {
 public:
  std::span<const int32_t> ids() const;
  const CacheOptions& cache() const;
  int64_t dense_tokens() const;
  int64_t held_tokens() const;
  int64_t held_bytes() const;
  const std::string& note() const;
  /// The file's size.
  int64_t bytes() const;

 private:
  friend class LLM;
  struct State;
  explicit DocumentFile(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  std::shared_ptr<const State> state_;
};

}  // namespace dms
