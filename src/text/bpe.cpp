#include "text/bpe.h"

#include <algorithm>
#include <functional>

#include "base/utf8.h"
#include "dms/error.h"
#include "text/byte_alphabet.h"

namespace dms::text {
namespace {

// Up to here, looking at every pair before each merge is faster than a heap.
constexpr size_t kShortSymbols = 48;
constexpr size_t kMaxSymbols = size_t{1} << 40;     // more than a text can have
constexpr std::string_view kMeta = "\xE2\x96\x81";  // U+2581

int32_t require(const Vocabulary& vocabulary, const std::string& token, const std::string& where) {
  if (const auto id = vocabulary.find(token)) return *id;
  throw InputError({.where = where,
                    .what = "a merge names a token that is not in the vocabulary",
                    .got = "'" + token.substr(0, 60) + "'"});
}

}  // namespace

Bpe::Bpe(const Vocabulary& vocabulary,
         BpeOptions options,
         const std::vector<Merge>& merges,
         const std::string& where)
    : vocabulary_(&vocabulary), options_(std::move(options)), merges_(merges.size()) {
  for (uint32_t byte = 0; byte < 256; ++byte) {
    std::string character;
    append_utf8(character, byte_character(static_cast<uint8_t>(byte)));
    byte_ids_[byte] = vocabulary.find(character).value_or(-1);
    fallback_ids_[byte] = vocabulary.find(fallback_token(static_cast<uint8_t>(byte))).value_or(-1);
  }
  const size_t prefix_bytes = options_.continuing_prefix.size();
  longest_ = 1;
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const auto& [left, right] = merges[rank];
    const int32_t left_id = require(vocabulary, left, where);
    const int32_t right_id = require(vocabulary, right, where);
    if (right.size() <= prefix_bytes) {
      throw InputError({.where = where,
                        .what = "the right part of a merge is shorter than the prefix of its kind",
                        .got = "'" + right + "'"});
    }
    const int32_t result = require(vocabulary, left + right.substr(prefix_bytes), where);
    merges_.insert(left_id, right_id, static_cast<uint32_t>(rank), result);
    longest_ = std::max(longest_, count_code_points(*vocabulary.text(result)));
  }
  if (!spells_symbols()) longest_ = 0;
  separable_at_meta_ = find_separable(merges);
}

// A token has at least one character of its own for each symbol that it was merged from, unless a
// prefix is cut off where two join or the token of unknown characters is spelled by none.
bool Bpe::spells_symbols() const {
  const bool unk_is_empty = options_.unk_id && vocabulary_->text(*options_.unk_id)->empty();
  return options_.continuing_prefix.empty() && !unk_is_empty;
}

// Every character becomes a token of its own or the tokens of its bytes.
bool Bpe::falls_back_whole() const {
  return options_.byte_fallback && std::ranges::find(fallback_ids_, -1) == fallback_ids_.end();
}

std::optional<IdBound> Bpe::id_bound(Alphabet alphabet) const {
  const bool bytes = alphabet == Alphabet::bytes;
  if (longest_ == 0 || (!bytes && !falls_back_whole())) return std::nullopt;
  IdBound bound;
  for (size_t byte = 0; byte < 256; ++byte) bound.counts[byte] = !bytes || byte_ids_[byte] >= 0;
  for (int32_t id = 0; id <= vocabulary_->largest_id(); ++id) {
    const std::string* text = vocabulary_->text(id);
    if (text == nullptr) continue;
    bound.bytes_per_id =
        std::max(bound.bytes_per_id, bytes ? count_code_points(*text) : text->size());
  }
  return bound;
}

bool Bpe::find_separable(const std::vector<Merge>& merges) const {
  if (!falls_back_whole() || !vocabulary_->find(kMeta)) return false;
  if (options_.ignore_merges || !options_.continuing_prefix.empty() ||
      !options_.end_suffix.empty()) {
    return false;
  }
  return std::none_of(merges.begin(), merges.end(), [](const Merge& merge) {
    return !merge.left.ends_with(kMeta) && merge.right.starts_with(kMeta);
  });
}

void Bpe::encode(std::string_view piece,
                 Alphabet alphabet,
                 Workspace& workspace,
                 std::vector<int32_t>& ids,
                 size_t most_ids) const {
  if (piece.empty()) return;
  if (piece.size() > WordCache::kMaxWordBytes) {
    encode_uncached(piece, alphabet, workspace, ids, most_ids);
    return;
  }
  const uint64_t hash = WordCache::hash(piece) + static_cast<uint64_t>(alphabet);
  const std::span<const int32_t> known = workspace.cache_.find(piece, hash);
  if (known.data() != nullptr) {
    ids.insert(ids.end(), known.begin(), known.end());
    return;
  }
  const size_t before = ids.size();
  encode_uncached(piece, alphabet, workspace, ids, SIZE_MAX);
  workspace.cache_.insert(piece, hash, std::span(ids).subspan(before));
}

void Bpe::encode_uncached(std::string_view piece,
                          Alphabet alphabet,
                          Workspace& workspace,
                          std::vector<int32_t>& ids,
                          size_t most_ids) const {
  const bool bytes = alphabet == Alphabet::bytes;
  if (options_.ignore_merges) {
    const auto whole = bytes ? vocabulary_->find_bytes(piece) : vocabulary_->find(piece);
    if (whole) {
      ids.push_back(*whole);
      return;
    }
  }
  const size_t room = most_ids - std::min(ids.size(), most_ids);
  const bool is_bounded = longest_ > 0 && room < kMaxSymbols / longest_;
  const size_t enough = is_bounded ? (room + 1) * longest_ : SIZE_MAX;
  const bool plain = options_.continuing_prefix.empty() && options_.end_suffix.empty() &&
                     !options_.unk_id && !options_.byte_fallback;
  std::vector<int32_t>& symbols = workspace.symbols_;
  symbols.clear();
  if (plain && bytes) {
    append_plain_bytes(piece, enough, symbols);
  } else {
    append_symbols(piece, alphabet, enough, symbols);
  }
  if (symbols.size() >= enough) {
    symbols.resize(room + 1);  // as few as they can become
  } else if (symbols.size() <= kShortSymbols) {
    merge_short(symbols, workspace);
  } else {
    merge_long(symbols, workspace);
  }
  ids.insert(ids.end(), symbols.begin(), symbols.end());
}

bool Bpe::append_byte_tokens(std::string_view character, std::vector<int32_t>& symbols) const {
  const auto token = [&](char byte) { return fallback_ids_[static_cast<uint8_t>(byte)]; };
  if (std::any_of(character.begin(), character.end(), [&](char c) { return token(c) < 0; })) {
    return false;
  }
  for (const char byte : character) symbols.push_back(token(byte));
  return true;
}

// A pending unk is written when the next known character comes, not when byte tokens do: that is
// the order `tokenizers` gives.
void Bpe::append_symbols(std::string_view piece,
                         Alphabet alphabet,
                         size_t enough,
                         std::vector<int32_t>& symbols) const {
  bool unk_pending = false;
  std::string character;
  for (size_t offset = 0; offset < piece.size() && symbols.size() < enough;) {
    character.clear();
    if (offset > 0) character = options_.continuing_prefix;
    if (alphabet == Alphabet::bytes) {
      append_utf8(character, byte_character(static_cast<uint8_t>(piece[offset++])));
    } else {
      const auto bytes = static_cast<size_t>(code_point_at(piece, offset).bytes);
      character += piece.substr(offset, bytes);
      offset += bytes;
    }
    if (offset == piece.size()) character += options_.end_suffix;
    if (const auto id = vocabulary_->find(character)) {
      if (unk_pending) symbols.push_back(*options_.unk_id);
      unk_pending = false;
      symbols.push_back(*id);
    } else if (options_.byte_fallback && append_byte_tokens(character, symbols)) {
      continue;
    } else if (options_.unk_id) {
      if (unk_pending && !options_.fuse_unk) symbols.push_back(*options_.unk_id);
      unk_pending = true;
    }
  }
  if (unk_pending) symbols.push_back(*options_.unk_id);
}

void Bpe::append_plain_bytes(std::string_view piece,
                             size_t enough,
                             std::vector<int32_t>& symbols) const {
  for (size_t i = 0; i < piece.size() && symbols.size() < enough; ++i) {
    const int32_t id = byte_ids_[static_cast<uint8_t>(piece[i])];
    if (id >= 0) symbols.push_back(id);
  }
}

void Bpe::merge_short(std::vector<int32_t>& symbols, Workspace& workspace) const {
  if (symbols.size() < 2) return;
  std::vector<uint32_t>& ranks = workspace.ranks_;
  std::vector<int32_t>& results = workspace.results_;
  ranks.assign(symbols.size(), PairTable::kNoRank);  // of the pair (i, i + 1)
  results.assign(symbols.size(), -1);
  const auto look_up = [&](size_t i) {
    const PairTable::Entry& entry = merges_.find(symbols[i], symbols[i + 1]);
    ranks[i] = entry.rank;
    results[i] = entry.result;
  };
  for (size_t i = 0; i + 1 < symbols.size(); ++i) look_up(i);
  while (true) {
    const size_t best =
        static_cast<size_t>(std::min_element(ranks.begin(), ranks.end()) - ranks.begin());
    if (ranks[best] == PairTable::kNoRank) return;
    symbols[best] = results[best];
    const auto gap = static_cast<std::ptrdiff_t>(best + 1);
    symbols.erase(symbols.begin() + gap);
    ranks.erase(ranks.begin() + gap);
    results.erase(results.begin() + gap);
    if (best + 1 < symbols.size()) {
      look_up(best);
    } else {
      ranks[best] = PairTable::kNoRank;
    }
    if (best > 0) look_up(best - 1);
  }
}

// A merged symbol stands in the first of its places; the second and the last hold minus their
// number, by which both neighbours find each other.
void Bpe::merge_long(std::vector<int32_t>& symbols, Workspace& workspace) const {
  const size_t count = symbols.size();
  std::vector<uint64_t>& heap = workspace.heap_;
  const auto after = [&](size_t i) {
    const bool is_merged = i + 1 < count && symbols[i + 1] < 0;
    return i + (is_merged ? static_cast<size_t>(-symbols[i + 1]) : 1);
  };
  const auto before = [&](size_t i) {
    return i - (symbols[i - 1] < 0 ? static_cast<size_t>(-symbols[i - 1]) : 1);
  };
  const auto append_pair = [&](size_t left) {
    const size_t right = after(left);
    if (right == count) return false;
    const uint64_t rank = merges_.find(symbols[left], symbols[right]).rank;
    if (rank == PairTable::kNoRank) return false;
    heap.push_back(rank << 32 | left);
    return true;
  };
  const auto push_pair = [&](size_t left) {
    if (append_pair(left)) std::push_heap(heap.begin(), heap.end(), std::greater());
  };
  heap.clear();
  heap.reserve(count);
  for (size_t i = 0; i + 1 < count; ++i) append_pair(i);
  std::make_heap(heap.begin(), heap.end(), std::greater());
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), std::greater());
    const uint64_t rank = heap.back() >> 32;
    const size_t left = heap.back() & UINT32_MAX;
    heap.pop_back();
    const size_t right = symbols[left] < 0 ? count : after(left);
    if (right == count) continue;
    const PairTable::Entry& entry = merges_.find(symbols[left], symbols[right]);
    // The pair may have changed since: then its own rank is in the heap.
    if (entry.rank != rank) continue;
    const size_t end = after(right);
    const auto places = static_cast<int32_t>(end - left);
    symbols[left] = entry.result;
    symbols[right] = -places;
    symbols[left + 1] = -places;
    symbols[end - 1] = -places;
    push_pair(left);
    if (left > 0) push_pair(before(left));
  }
  std::erase_if(symbols, [](int32_t symbol) { return symbol < 0; });
}

}  // namespace dms::text
