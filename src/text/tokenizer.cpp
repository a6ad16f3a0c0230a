#include "text/tokenizer.h"

#include <algorithm>
#include <limits>
#include <mutex>

#include "base/input_file.h"
#include "dms/error.h"
#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/decoder.h"
#include "text/growth_limit.h"
#include "text/normalizer.h"
#include "text/post_processor.h"
#include "text/pre_tokenizer.h"
#include "text/tokenizer_json.h"
#include "text/utf8.h"
#include "text/vocabulary.h"

namespace dms::text {
namespace {

constexpr int64_t kMaxFileBytes = int64_t{1} << 28;
constexpr std::string_view kMeta = "\xE2\x96\x81";  // U+2581

// Workspaces that are not in use, so that each call has its own and their word caches live on.
class WorkspacePool {
 public:
  std::unique_ptr<Bpe::Workspace> take() {
    const std::lock_guard lock(mutex_);
    if (idle_.empty()) return std::make_unique<Bpe::Workspace>();
    auto workspace = std::move(idle_.back());
    idle_.pop_back();
    return workspace;
  }

  void give_back(std::unique_ptr<Bpe::Workspace> workspace) {
    const std::lock_guard lock(mutex_);
    idle_.push_back(std::move(workspace));
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<Bpe::Workspace>> idle_;
};

void check_length(size_t bytes) {
  if (bytes <= static_cast<size_t>(std::numeric_limits<int32_t>::max())) return;
  throw InputError({.where = "text",
                    .what = "too long for one call",
                    .got = std::to_string(bytes) + " bytes",
                    .expected = "less than 2 GiB"});
}

}  // namespace

struct Tokenizer::Impl {
  explicit Impl(TokenizerParts parts)
      : where(std::move(parts.where)),
        vocabulary(std::move(parts.vocabulary)),
        bpe(vocabulary, std::move(parts.bpe), parts.merges, where + ": model: merges"),
        normalizer(std::move(parts.normalizer)),
        pre_tokenizer(std::move(parts.pre_tokenizer)),
        post_processor(std::move(parts.post_processor)),
        decoder(std::move(parts.decoder)),
        added(std::move(parts.added_tokens), vocabulary, normalizer, where + ": added_tokens") {}

  std::string where;
  Vocabulary vocabulary;
  Bpe bpe;
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  PostProcessor post_processor;
  Decoder decoder;
  AddedTokens added;
  mutable WorkspacePool workspaces;

  const std::string* token_text(int32_t id) const {
    const AddedToken* token = added.find(id);
    return token != nullptr ? &token->spelling : vocabulary.text(id);
  }

  // One call: what has been made of its input so far.
  struct Encoding {
    Bpe::Workspace& workspace;
    size_t input_bytes;
    GrowthLimit limit;
    size_t normalized_bytes = 0;
    std::vector<int32_t> ids{};
  };

  void encode_section(std::string_view text, bool at_start, Encoding& out) const {
    Pieces pieces;
    pre_tokenizer.apply(text, out.input_bytes, at_start, pieces);
    const Bpe::Alphabet alphabet = pre_tokenizer.alphabet();
    for (const std::string_view piece : pieces.pieces) {
      check_length(piece.size());
      if (alphabet == Bpe::Alphabet::characters && bpe.separable_at_meta()) {
        encode_at_meta(piece, out);
      } else {
        bpe.encode(piece, alphabet, out.workspace, out.ids);
      }
      out.limit.check(out.ids.size());
    }
  }

  // Word by word: a word is a run of U+2581 and what follows it.
  void encode_at_meta(std::string_view piece, Encoding& out) const {
    size_t start = 0;
    while (start < piece.size()) {
      size_t body = start;
      while (piece.substr(body).starts_with(kMeta)) body += kMeta.size();
      const size_t end = std::min(piece.find(kMeta, body), piece.size());
      const std::string_view word = piece.substr(start, end - start);
      bpe.encode(word, Bpe::Alphabet::characters, out.workspace, out.ids);
      start = end;
    }
  }

  // Text without plain added tokens: normalizes it and looks for the normalized ones.
  void encode_text(std::string_view text, bool at_start, Encoding& out) const {
    std::string changed;
    if (!normalizer.is_identity()) {
      at_start = at_start && normalizer.keeps_start(text);
      changed = normalizer.apply(text, out.input_bytes);
      out.normalized_bytes += changed.size();
      out.limit.check(out.normalized_bytes);
      text = changed;
    }
    std::vector<Section> sections;
    added.normalized().find(text, sections);
    for (const Section& section : sections) {
      if (section.token) {
        out.ids.push_back(*section.token);
      } else {
        encode_section(section.text, at_start, out);
      }
      at_start = false;
    }
  }

  std::vector<int32_t> encode(std::string_view text) const {
    std::unique_ptr<Bpe::Workspace> workspace = workspaces.take();
    std::vector<Section> sections;
    added.plain().find(text, sections);
    Encoding out{.workspace = *workspace,
                 .input_bytes = text.size(),
                 .limit = GrowthLimit(where, text.size())};
    out.ids.reserve(text.size() / 4);
    bool at_start = true;
    for (const Section& section : sections) {
      if (section.token) {
        out.ids.push_back(*section.token);
      } else {
        encode_text(section.text, at_start, out);
      }
      at_start = false;
    }
    workspaces.give_back(std::move(workspace));
    return std::move(out.ids);
  }
};

Tokenizer Tokenizer::load(const std::filesystem::path& tokenizer_json) {
  return parse(read_text_file(tokenizer_json, kMaxFileBytes), tokenizer_json.string());
}

Tokenizer Tokenizer::parse(std::string_view json, const std::string& where) {
  return Tokenizer(std::make_unique<Impl>(read_tokenizer(parse_json(json, where), where)));
}

Tokenizer::Tokenizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

std::vector<int32_t> Tokenizer::encode(std::string_view utf8, bool add_special_tokens) const {
  check_length(utf8.size());
  std::vector<int32_t> ids =
      is_well_formed(utf8) ? impl_->encode(utf8) : impl_->encode(to_well_formed(utf8));
  return add_special_tokens ? impl_->post_processor.apply(std::move(ids)) : ids;
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special_tokens) const {
  std::vector<std::string> tokens;
  tokens.reserve(ids.size());
  size_t bytes = 0;
  for (const int32_t id : ids) {
    const std::string* token = impl_->token_text(id);
    if (token == nullptr || (skip_special_tokens && impl_->added.is_special(*token))) continue;
    bytes += token->size();
    check_length(bytes);
    tokens.push_back(*token);
  }
  return impl_->decoder.apply(std::move(tokens));
}

const std::string* Tokenizer::token_text(int32_t id) const { return impl_->token_text(id); }

std::optional<int32_t> Tokenizer::token_id(std::string_view token) const {
  if (const AddedToken* added = impl_->added.find(token)) return added->id;
  return impl_->vocabulary.find(token);
}

bool Tokenizer::is_special(int32_t id) const {
  const AddedToken* token = impl_->added.find(id);
  return token != nullptr && token->special;
}

int64_t Tokenizer::vocab_size() const {
  return impl_->vocabulary.size() + impl_->added.beyond_vocabulary();
}

int64_t Tokenizer::id_limit() const {
  return int64_t{1} + std::max(impl_->vocabulary.largest_id(), impl_->added.largest_id());
}

}  // namespace dms::text
