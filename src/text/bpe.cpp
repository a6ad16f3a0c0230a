#include "text/bpe.h"

#include <algorithm>

#include "dms/error.h"
#include "text/byte_alphabet.h"
#include "text/utf8.h"

namespace dms::text {
namespace {

// Up to here, looking at every pair before each merge is faster than a heap.
constexpr size_t kShortSymbols = 48;
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
  }
  separable_at_meta_ = find_separable(merges);
}

bool Bpe::find_separable(const std::vector<Merge>& merges) const {
  const bool all_bytes =
      std::none_of(fallback_ids_.begin(), fallback_ids_.end(), [](int32_t id) { return id < 0; });
  if (!options_.byte_fallback || !all_bytes || !vocabulary_->find(kMeta)) return false;
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
                 std::vector<int32_t>& ids) const {
  if (piece.empty()) return;
  if (piece.size() > WordCache::kMaxWordBytes) {
    encode_uncached(piece, alphabet, workspace, ids);
    return;
  }
  const uint64_t hash = WordCache::hash(piece) + static_cast<uint64_t>(alphabet);
  const std::span<const int32_t> known = workspace.cache_.find(piece, hash);
  if (known.data() != nullptr) {
    ids.insert(ids.end(), known.begin(), known.end());
    return;
  }
  const size_t before = ids.size();
  encode_uncached(piece, alphabet, workspace, ids);
  workspace.cache_.insert(piece, hash, std::span(ids).subspan(before));
}

void Bpe::encode_uncached(std::string_view piece,
                          Alphabet alphabet,
                          Workspace& workspace,
                          std::vector<int32_t>& ids) const {
  const bool bytes = alphabet == Alphabet::bytes;
  if (options_.ignore_merges) {
    const auto whole = bytes ? vocabulary_->find_bytes(piece) : vocabulary_->find(piece);
    if (whole) {
      ids.push_back(*whole);
      return;
    }
  }
  std::vector<int32_t>& symbols = workspace.symbols_;
  symbols.clear();
  const bool plain = options_.continuing_prefix.empty() && options_.end_suffix.empty() &&
                     !options_.unk_id && !options_.byte_fallback;
  if (bytes && plain) {
    for (const char c : piece) {
      const int32_t id = byte_ids_[static_cast<uint8_t>(c)];
      if (id >= 0) symbols.push_back(id);
    }
  } else {
    characters_to_symbols(bytes ? to_byte_alphabet(piece) : std::string(piece), symbols);
  }
  if (symbols.size() <= kShortSymbols) {
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
void Bpe::characters_to_symbols(std::string_view piece, std::vector<int32_t>& symbols) const {
  bool unk_pending = false;
  std::string character;
  for (size_t offset = 0; offset < piece.size();) {
    const size_t bytes = static_cast<size_t>(code_point_at(piece, offset).bytes);
    character.clear();
    if (offset > 0) character = options_.continuing_prefix;
    character += piece.substr(offset, bytes);
    offset += bytes;
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

void Bpe::merge_long(std::vector<int32_t>& symbols, Workspace& workspace) const {
  using Candidate = Workspace::Candidate;
  constexpr int32_t kNone = -1;
  const auto later = [](const Candidate& a, const Candidate& b) {
    return a.rank != b.rank ? a.rank > b.rank : a.position > b.position;
  };
  const int32_t count = static_cast<int32_t>(symbols.size());
  auto& next = workspace.next_;
  auto& previous = workspace.previous_;
  auto& heap = workspace.heap_;
  next.resize(symbols.size());
  previous.resize(symbols.size());
  heap.clear();
  const auto at = [&](int32_t i) -> int32_t& { return symbols[static_cast<size_t>(i)]; };
  const auto candidate = [&](int32_t left, int32_t right) {
    const PairTable::Entry& entry = merges_.find(at(left), at(right));
    return Candidate{entry.rank, static_cast<uint32_t>(left), entry.result};
  };
  const auto push = [&](int32_t left, int32_t right) {
    const Candidate found = candidate(left, right);
    if (found.rank == PairTable::kNoRank) return;
    heap.push_back(found);
    std::push_heap(heap.begin(), heap.end(), later);
  };
  for (int32_t i = 0; i < count; ++i) {
    previous[static_cast<size_t>(i)] = i - 1;
    next[static_cast<size_t>(i)] = i + 1 < count ? i + 1 : kNone;
    if (i + 1 == count) continue;
    const Candidate found = candidate(i, i + 1);
    if (found.rank != PairTable::kNoRank) heap.push_back(found);
  }
  std::make_heap(heap.begin(), heap.end(), later);
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), later);
    const Candidate top = heap.back();
    heap.pop_back();
    const int32_t left = static_cast<int32_t>(top.position);
    const int32_t right = at(left) < 0 ? kNone : next[top.position];
    // The pair may have changed since: then its own candidate is in the heap.
    if (right == kNone || candidate(left, right).rank != top.rank) continue;
    at(left) = top.result;
    at(right) = -1;
    const int32_t after = next[static_cast<size_t>(right)];
    next[top.position] = after;
    if (after != kNone) {
      previous[static_cast<size_t>(after)] = left;
      push(left, after);
    }
    if (previous[top.position] != kNone) push(previous[top.position], left);
  }
  std::erase(symbols, -1);
}

}  // namespace dms::text
