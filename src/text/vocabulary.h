#pragma once
// The model's vocabulary: token strings and ids, both ways. Immutable once built; thread-safe.

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace dms::text {

class Vocabulary {
 public:
  /// Ids lie in [0, kMaxId]: more would be an absurd allocation, not a model.
  static constexpr int32_t kMaxId = (1 << 24) - 1;

  /// Adds a token. Throws InputError (naming `where`) for a repeated string or id.
  void add(std::string text, int32_t id, const std::string& where);

  /// Adds a token that may repeat one before: find() then gives the last of their ids.
  void add_repeatable(std::string text, int32_t id, const std::string& where);

  std::optional<int32_t> find(std::string_view text) const;
  /// Like find(), for raw bytes that the token spells in the byte alphabet.
  std::optional<int32_t> find_bytes(std::string_view bytes) const;
  /// The token's string, or null.
  const std::string* text(int32_t id) const;

  int64_t size() const { return size_; }
  int32_t largest_id() const { return static_cast<int32_t>(texts_.size()) - 1; }

  /// Makes find_bytes() work; called once, after the last add().
  void index_bytes();

 private:
  std::string_view store(std::string text, int32_t id, const std::string& where);

  int64_t size_ = 0;
  std::deque<std::string> storage_;  // keys of the maps point into it
  std::unordered_map<std::string_view, int32_t> ids_;
  std::unordered_map<std::string_view, int32_t> ids_by_bytes_;
  std::vector<const std::string*> texts_;
};

}  // namespace dms::text
