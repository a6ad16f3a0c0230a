#include "text/vocabulary.h"

#include "dms/error.h"
#include "text/byte_alphabet.h"

namespace dms::text {
namespace {

[[noreturn]] void given_twice(const std::string& text, int32_t id, const std::string& where) {
  throw InputError({.where = where,
                    .what = "token given twice: '" + text.substr(0, 60) + "'",
                    .got = "id " + std::to_string(id),
                    .expected = "one id for a token and one token for an id"});
}

}  // namespace

void Vocabulary::add(std::string text, int32_t id, const std::string& where) {
  if (ids_.contains(text)) given_twice(text, id, where);
  ids_.emplace(store(std::move(text), id, where), id);
}

void Vocabulary::add_repeatable(std::string text, int32_t id, const std::string& where) {
  ids_.insert_or_assign(store(std::move(text), id, where), id);
}

std::string_view Vocabulary::store(std::string text, int32_t id, const std::string& where) {
  if (id < 0 || id > kMaxId) {
    throw InputError({.where = where,
                      .what = "token id out of range: token '" + text.substr(0, 60) + "'",
                      .got = std::to_string(id),
                      .expected = "0 to " + std::to_string(kMaxId)});
  }
  const size_t index = static_cast<size_t>(id);
  if (index >= texts_.size()) texts_.resize(index + 1, nullptr);
  if (texts_[index] != nullptr) given_twice(text, id, where);
  storage_.push_back(std::move(text));
  texts_[index] = &storage_.back();
  ++size_;
  return storage_.back();
}

std::optional<int32_t> Vocabulary::find(std::string_view text) const {
  const auto it = ids_.find(text);
  return it == ids_.end() ? std::nullopt : std::optional(it->second);
}

std::optional<int32_t> Vocabulary::find_bytes(std::string_view bytes) const {
  const auto it = ids_by_bytes_.find(bytes);
  return it == ids_by_bytes_.end() ? std::nullopt : std::optional(it->second);
}

const std::string* Vocabulary::text(int32_t id) const {
  const size_t index = static_cast<size_t>(id);
  return id < 0 || index >= texts_.size() ? nullptr : texts_[index];
}

void Vocabulary::index_bytes() {
  ids_by_bytes_.reserve(ids_.size());
  for (size_t id = 0; id < texts_.size(); ++id) {
    if (texts_[id] == nullptr) continue;
    std::optional<std::string> bytes = from_byte_alphabet(*texts_[id]);
    if (!bytes) continue;
    storage_.push_back(std::move(*bytes));
    ids_by_bytes_.emplace(storage_.back(), static_cast<int32_t>(id));
  }
}

}  // namespace dms::text
