#include "text/unigram.h"

#include <algorithm>
#include <limits>

#include "base/utf8.h"
#include "dms/error.h"
#include "text/byte_alphabet.h"

namespace dms::text {
namespace {

constexpr double kUnkPenalty = 10;
constexpr size_t kMaxTokenBytes = 1024;        // each is sought at every byte of a text
constexpr size_t kMaxBytes = size_t{1} << 26;  // of all tokens: the trie takes twelve times as much

ByteTrie trie_of(const Vocabulary& vocabulary, const std::string& where) {
  std::vector<ByteTrie::Entry> entries;
  size_t bytes = 0;
  for (int32_t id = 0; id <= vocabulary.largest_id(); ++id) {
    const std::string* text = vocabulary.text(id);
    if (text == nullptr) continue;
    if (text->size() > kMaxTokenBytes) {
      throw InputError({.where = where,
                        .what = "token " + std::to_string(id) + " is too long",
                        .got = std::to_string(text->size()) + " bytes",
                        .expected = "at most " + std::to_string(kMaxTokenBytes)});
    }
    entries.push_back({*text, id});
    bytes += text->size();
  }
  if (bytes > kMaxBytes) {
    throw InputError({.where = where,
                      .what = "tokens too long together",
                      .got = std::to_string(bytes) + " bytes",
                      .expected = "at most " + std::to_string(kMaxBytes)});
  }
  return ByteTrie(std::move(entries));
}

}  // namespace

Unigram::Unigram(const Vocabulary& vocabulary, UnigramOptions options, std::string where)
    : vocabulary_(&vocabulary),
      options_(std::move(options)),
      where_(std::move(where)),
      unk_score_(std::numeric_limits<double>::infinity()),
      trie_(trie_of(vocabulary, where_)),
      byte_ids_(256, -1) {
  for (const double score : options_.scores) unk_score_ = std::min(unk_score_, score);
  unk_score_ -= kUnkPenalty;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    byte_ids_[byte] = vocabulary.find(fallback_token(static_cast<uint8_t>(byte))).value_or(-1);
  }
  spells_unknown_ = options_.byte_fallback && std::ranges::find(byte_ids_, -1) == byte_ids_.end();
  for (int32_t id = 0; id <= vocabulary.largest_id(); ++id) {
    const std::string* text = vocabulary.text(id);
    if (text != nullptr) longest_ = std::max(longest_, count_code_points(*text));
  }
}

std::optional<IdBound> Unigram::id_bound() const {
  if (!spells_unknown_) return std::nullopt;
  IdBound bound;
  bound.counts.fill(true);
  for (int32_t id = 0; id <= vocabulary_->largest_id(); ++id) {
    const std::string* text = vocabulary_->text(id);
    if (text != nullptr) bound.bytes_per_id = std::max(bound.bytes_per_id, text->size());
  }
  return bound;
}

int32_t Unigram::require_unk() const {
  if (options_.unk_id) return *options_.unk_id;
  throw InputError({.where = where_,
                    .what = "the text has a character without a token, and there is no unk_id"});
}

// A run of unknown characters: one token.
void Unigram::append_unknown(std::string_view text, std::vector<int32_t>& ids) const {
  if (const auto id = vocabulary_->find(text)) {
    ids.push_back(*id);
    return;
  }
  const auto token = [&](char byte) { return byte_ids_[static_cast<uint8_t>(byte)]; };
  const bool has_bytes = std::ranges::all_of(text, [&](char byte) { return token(byte) >= 0; });
  if (options_.byte_fallback && has_bytes) {
    for (const char byte : text) ids.push_back(token(byte));
  } else {
    ids.push_back(require_unk());
  }
}

// The ways through a piece, as far as they are not settled: where no token reaches across a byte,
// all of them meet there, and what lies before it is written. So a long piece needs little memory.
//
// Characters that are sure to be covered by tokens of their own length at most are counted: all,
// where unknown ones are spelled, else those that have a token and do not stand in a literal unk.
class Unigram::Lattice {
 public:
  Lattice(const Unigram& model,
          std::string_view piece,
          Workspace& workspace,
          std::vector<int32_t>& ids,
          size_t most_ids)
      : model_(model),
        piece_(piece),
        ids_(ids),
        most_ids_(most_ids),
        nodes_(workspace.nodes_),
        path_(workspace.path_) {
    nodes_.assign(1, Node{});
  }

  void run() {
    for (size_t at = 0; at < piece_.size();) {
      extend_from(at);
      at += static_cast<size_t>(code_point_at(piece_, at).bytes);
      if (reach_ == at) settle(at);
      if (least_ids() > most_ids_) {
        ids_.resize(std::max(ids_.size(), most_ids_ + 1));
        return;
      }
    }
    write_unknown();
  }

 private:
  // How many there will be at least, by what was seen so far.
  size_t least_ids() const {
    const size_t characters = open_characters_ + unknown_characters_;
    return ids_.size() + (characters + model_.longest_ - 1) / model_.longest_;
  }

  void offer(size_t start, size_t end, double score, int32_t id) {
    if (end - base_ >= nodes_.size()) nodes_.resize(end - base_ + 1);
    reach_ = std::max(reach_, end);
    Node& node = nodes_[end - base_];
    if (node.id < 0 || score > node.score) node = {.score = score, .start = start, .id = id};
  }

  void extend_from(size_t at) {
    const double score = nodes_[at - base_].score;
    const auto character = static_cast<size_t>(code_point_at(piece_, at).bytes);
    bool has_single = false;
    model_.trie_.for_each_prefix(piece_.substr(at), [&](size_t bytes, int32_t id) {
      offer(at, at + bytes, model_.options_.scores[static_cast<size_t>(id)] + score, id);
      has_single = has_single || bytes == character;
      if (id == model_.options_.unk_id) literal_unk_end_ = std::max(literal_unk_end_, at + bytes);
    });
    if (model_.spells_unknown_ || (has_single && at >= literal_unk_end_)) ++open_characters_;
    if (!has_single) {
      const bool is_known =
          at + character - base_ < nodes_.size() && nodes_[at + character - base_].id >= 0;
      const double unknown = model_.unk_score_ + score;
      if (is_known && unknown <= nodes_[at + character - base_].score) return;
      offer(at, at + character, unknown, model_.require_unk());
    }
  }

  // Everything before `end` is decided.
  void settle(size_t end) {
    path_.clear();
    for (size_t at = end; at > base_; at = nodes_[at - base_].start) path_.push_back(at);
    for (; !path_.empty(); path_.pop_back()) {
      const Node& node = nodes_[path_.back() - base_];
      if (node.id == model_.options_.unk_id) {
        unknown_start_ = std::min(unknown_start_, node.start);
        unknown_end_ = path_.back();
        if (model_.spells_unknown_) {
          unknown_characters_ +=
              count_code_points(piece_.substr(node.start, unknown_end_ - node.start));
        }
      } else {
        write_unknown();
        ids_.push_back(node.id);
      }
    }
    nodes_.assign(1, {.score = nodes_[end - base_].score});
    base_ = end;
    open_characters_ = 0;
  }

  void write_unknown() {
    if (unknown_start_ < unknown_end_) {
      model_.append_unknown(piece_.substr(unknown_start_, unknown_end_ - unknown_start_), ids_);
    }
    unknown_start_ = std::string_view::npos;
    unknown_end_ = 0;
    unknown_characters_ = 0;
  }

  const Unigram& model_;
  std::string_view piece_;
  std::vector<int32_t>& ids_;
  size_t most_ids_;
  std::vector<Node>& nodes_;  // by byte, from `base_` on
  std::vector<size_t>& path_;
  size_t base_ = 0;
  size_t reach_ = 0;                               // the furthest byte at which a token ends
  size_t unknown_start_ = std::string_view::npos;  // a run of unknown characters not yet written
  size_t unknown_end_ = 0;
  size_t unknown_characters_ = 0;  // of it, where they are spelled
  size_t open_characters_ = 0;     // counted and not settled
  size_t literal_unk_end_ = 0;
};

void Unigram::encode(std::string_view piece,
                     Workspace& workspace,
                     std::vector<int32_t>& ids,
                     size_t most_ids) const {
  if (piece.size() > WordCache::kMaxWordBytes) {
    Lattice(*this, piece, workspace, ids, most_ids).run();
    return;
  }
  const uint64_t hash = WordCache::hash(piece);
  const std::span<const int32_t> known = workspace.cache_.find(piece, hash);
  if (known.data() != nullptr) {
    ids.insert(ids.end(), known.begin(), known.end());
    return;
  }
  const size_t before = ids.size();
  Lattice(*this, piece, workspace, ids, SIZE_MAX).run();
  workspace.cache_.insert(piece, hash, std::span(ids).subspan(before));
}

}  // namespace dms::text
