#include "text/added_tokens.h"

#include <algorithm>

#include "base/utf8.h"
#include "dms/error.h"
#include "text/unicode.h"

namespace dms::text {
namespace {

constexpr size_t kMaxBytes = 1024;  // of a token: each may be sought at every byte of a text

bool is_word(uint32_t code_point) { return (code_point_bits()[code_point] & kAddedWord) != 0; }

bool stands_alone(std::string_view text, size_t start, size_t end) {
  if (start > 0 && is_word(code_point_before(text, start).value)) return false;
  return end == text.size() || !is_word(code_point_at(text, end).value);
}

[[noreturn]] void reject(const std::string& where, const AddedToken& token, std::string what) {
  throw InputError(
      {.where = where,
       .what = std::move(what),
       .got = "'" + token.content.substr(0, 60) + "' with id " + std::to_string(token.id)});
}

}  // namespace

void check_added_token(const AddedToken& token,
                       const Vocabulary& vocabulary,
                       const std::string& where) {
  if (token.content.empty()) reject(where, token, "added token without content");
  if (token.content.size() > kMaxBytes) reject(where, token, "added token is too long");
  if (token.id < 0 || token.id > Vocabulary::kMaxId) {
    reject(where, token, "added token's id is out of range");
  }
  const auto known = vocabulary.find(token.content);
  const std::string* holder = vocabulary.text(token.id);
  if ((known && *known != token.id) || (holder != nullptr && *holder != token.content)) {
    reject(where, token, "added token disagrees with the vocabulary");
  }
}

std::vector<AddedToken> with_additions(std::vector<AddedToken> listed,
                                       const std::vector<AddedToken>& additions,
                                       const Vocabulary& vocabulary,
                                       const std::string& where) {
  std::unordered_map<std::string, size_t> index;
  int64_t next_id = vocabulary.size();
  for (size_t i = 0; i < listed.size(); ++i) {
    index.emplace(listed[i].content, i);
    next_id = std::max(next_id, int64_t{listed[i].id} + 1);
  }
  for (AddedToken token : additions) {
    if (token.content.empty()) continue;
    if (token.content.size() > kMaxBytes) reject(where, token, "added token is too long");
    const auto [it, is_new] = index.emplace(token.content, listed.size());
    if (!is_new) {
      AddedToken& known = listed[it->second];
      token.id = known.id;
      token.special |= known.special;
      known = std::move(token);
      continue;
    }
    token.id = vocabulary.find(token.content).value_or(static_cast<int32_t>(next_id));
    if (token.id == next_id) ++next_id;
    if (token.id > Vocabulary::kMaxId) reject(where, token, "no id is left for an added token");
    listed.push_back(std::move(token));
  }
  return listed;
}

void TokenFinder::add(const AddedToken& token) {
  const std::string& spelling = token.spelling;
  if (spelling.empty()) return;
  const AddedToken* kept = &tokens_.emplace_back(token);
  starts_[static_cast<uint8_t>(spelling.front())] = true;
  uint32_t node = 0;
  for (const char c : spelling) {
    const uint64_t edge = uint64_t{node} << 8 | static_cast<uint8_t>(c);
    const auto [it, is_new] = edges_.emplace(edge, static_cast<uint32_t>(ends_.size()));
    if (is_new) ends_.push_back(nullptr);
    node = it->second;
  }
  if (ends_[node] == nullptr) ends_[node] = kept;
}

std::optional<TokenFinder::Found> TokenFinder::longest_at(std::string_view text,
                                                          size_t offset) const {
  std::optional<Found> found;
  uint32_t node = 0;
  for (size_t at = offset; at < text.size(); ++at) {
    const auto it = edges_.find(uint64_t{node} << 8 | static_cast<uint8_t>(text[at]));
    if (it == edges_.end()) break;
    node = it->second;
    if (ends_[node] != nullptr) found = {ends_[node], at + 1};
  }
  return found;
}

bool TokenFinder::find(std::string_view text, SectionSink sink) const {
  size_t written = 0;
  const auto write_text = [&](size_t end) {
    return end <= written || sink({text.substr(written, end - written), std::nullopt});
  };
  for (size_t at = 0; at < text.size() && !empty();) {
    const auto found =
        starts_[static_cast<uint8_t>(text[at])] ? longest_at(text, at) : std::nullopt;
    if (!found) {
      ++at;
      continue;
    }
    const AddedToken& token = *found->token;
    size_t start = at;
    size_t end = found->end;
    at = end;
    if (token.single_word && !stands_alone(text, start, end)) continue;
    if (token.lstrip) start = bytes_before_trailing_space(text.substr(0, start));
    if (token.rstrip) end += leading_space_bytes(text.substr(end));
    if (!write_text(start) || !sink({{}, token.id})) return false;
    written = end;
  }
  return write_text(text.size());
}

AddedTokens::AddedTokens(std::vector<AddedToken> tokens,
                         const Vocabulary& vocabulary,
                         const Normalizer& normalizer,
                         const std::string& where) {
  // Where two are spelled the same after normalization, special ones come first.
  for (const bool special : {true, false}) {
    for (AddedToken& token : tokens) {
      if (token.special == special) add(std::move(token), vocabulary, normalizer, where);
    }
  }
}

void AddedTokens::add(AddedToken added,
                      const Vocabulary& vocabulary,
                      const Normalizer& normalizer,
                      const std::string& where) {
  RegexWork work(added.content.size());
  added.spelling = added.normalized
                       ? normalizer.apply(added.content, added.content.size(), work).text
                       : added.content;
  const AddedToken& token = tokens_.emplace_back(std::move(added));
  if (!by_content_.emplace(token.content, &token).second ||
      !by_id_.emplace(token.id, &token).second) {
    reject(where, token, "added token given twice");
  }
  largest_id_ = std::max(largest_id_, token.id);
  if (!vocabulary.find(token.content)) ++beyond_vocabulary_;
  (token.normalized ? normalized_ : plain_).add(token);
}

const AddedToken* AddedTokens::find(int32_t id) const {
  const auto it = by_id_.find(id);
  return it == by_id_.end() ? nullptr : it->second;
}

const AddedToken* AddedTokens::find(std::string_view content) const {
  const auto it = by_content_.find(content);
  return it == by_content_.end() ? nullptr : it->second;
}

bool AddedTokens::is_special(std::string_view content) const {
  const AddedToken* token = find(content);
  return token != nullptr && token->special;
}

}  // namespace dms::text
