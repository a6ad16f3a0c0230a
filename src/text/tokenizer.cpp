#include "text/tokenizer.h"

#include <algorithm>
#include <limits>
#include <mutex>
#include <utility>
#include <variant>

#include "base/input_file.h"
#include "base/utf8.h"
#include "dms/error.h"
#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/byte_alphabet.h"
#include "text/decoder.h"
#include "text/gguf_tokenizer.h"
#include "text/growth_limit.h"
#include "text/normalizer.h"
#include "text/post_processor.h"
#include "text/pre_tokenizer.h"
#include "text/side_tokens.h"
#include "text/tokenizer_json.h"
#include "text/unigram.h"
#include "text/vocabulary.h"

namespace dms::text {
namespace {

constexpr int64_t kMaxFileBytes = int64_t{1} << 28;
constexpr std::string_view kMeta = "\xE2\x96\x81";  // U+2581

struct Workspace {
  Bpe::Workspace bpe;
  Unigram::Workspace unigram;
  RegexWork patterns;
};

// Workspaces that are not in use, so that each call has its own and their word caches live on.
class WorkspacePool {
 public:
  std::unique_ptr<Workspace> take() {
    const std::lock_guard lock(mutex_);
    if (idle_.empty()) return std::make_unique<Workspace>();
    auto workspace = std::move(idle_.back());
    idle_.pop_back();
    return workspace;
  }

  void give_back(std::unique_ptr<Workspace> workspace) {
    const std::lock_guard lock(mutex_);
    idle_.push_back(std::move(workspace));
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<Workspace>> idle_;
};

using Model = std::variant<Bpe, Unigram>;

Model make_model(std::variant<BpeParts, UnigramOptions> parts,
                 const Vocabulary& vocabulary,
                 const std::string& where) {
  if (auto* unigram = std::get_if<UnigramOptions>(&parts)) {
    return Unigram(vocabulary, std::move(*unigram), where + ": model");
  }
  BpeParts& bpe = std::get<BpeParts>(parts);
  return Bpe(vocabulary, std::move(bpe.options), bpe.merges, where + ": model: merges");
}

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
        model(make_model(std::move(parts.model), vocabulary, where)),
        normalizer(std::move(parts.normalizer)),
        pre_tokenizer(std::move(parts.pre_tokenizer)),
        post_processor(std::move(parts.post_processor)),
        decoder(std::move(parts.decoder)),
        added(std::move(parts.added_tokens), vocabulary, normalizer, where + ": added_tokens"),
        bos(std::move(parts.bos)),
        eos(std::move(parts.eos)),
        bound(find_bound()) {}

  std::string where;
  Vocabulary vocabulary;
  Model model;
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  PostProcessor post_processor;
  Decoder decoder;
  AddedTokens added;
  std::optional<std::string> bos;
  std::optional<std::string> eos;
  std::optional<IdBound> bound;  // of well-formed text
  mutable WorkspacePool workspaces;

  // Nothing where a stage may take text away.
  std::optional<IdBound> find_bound() const {
    if (!normalizer.is_identity() || !pre_tokenizer.keeps_text()) return std::nullopt;
    const auto* unigram = std::get_if<Unigram>(&model);
    std::optional<IdBound> found = unigram != nullptr
                                       ? unigram->id_bound()
                                       : std::get<Bpe>(model).id_bound(pre_tokenizer.alphabet());
    if (!found) return std::nullopt;
    for (const AddedToken& token : added.tokens()) {
      if (token.lstrip || token.rstrip) return std::nullopt;
      found->bytes_per_id = std::max(found->bytes_per_id, token.spelling.size());
    }
    return found;
  }

  const std::string* token_text(int32_t id) const {
    const AddedToken* token = added.find(id);
    return token != nullptr ? &token->spelling : vocabulary.text(id);
  }

  // One call: what has been made of its input so far.
  struct Encoding {
    Workspace& workspace;
    size_t input_bytes;
    size_t most_ids;  // more are of no use
    GrowthLimit limit;
    std::vector<int32_t>& ids;
    size_t ids_before;  // that are not of the text
    size_t normalized_bytes = 0;

    bool goes_on() const {
      limit.check(ids.size() - ids_before);
      return ids.size() <= most_ids;
    }
    bool add(int32_t id) {
      ids.push_back(id);
      return goes_on();
    }
  };

  bool encode_piece(std::string_view piece, Encoding& out) const {
    check_length(piece.size());
    const Bpe::Alphabet alphabet = pre_tokenizer.alphabet();
    if (const auto* unigram = std::get_if<Unigram>(&model)) {
      const bool is_bytes = alphabet == Bpe::Alphabet::bytes;
      const std::string spelled = is_bytes ? to_byte_alphabet(piece) : std::string();
      unigram->encode(is_bytes ? spelled : piece, out.workspace.unigram, out.ids, out.most_ids);
      return out.goes_on();
    }
    const Bpe& bpe = std::get<Bpe>(model);
    if (alphabet == Bpe::Alphabet::characters && bpe.separable_at_meta()) {
      return encode_at_meta(bpe, piece, out);
    }
    bpe.encode(piece, alphabet, out.workspace.bpe, out.ids, out.most_ids);
    return out.goes_on();
  }

  // Word by word: a word is a run of U+2581 and what follows it.
  static bool encode_at_meta(const Bpe& bpe, std::string_view piece, Encoding& out) {
    size_t start = 0;
    while (start < piece.size() && out.goes_on()) {
      size_t body = start;
      while (piece.substr(body).starts_with(kMeta)) body += kMeta.size();
      const size_t end = std::min(piece.find(kMeta, body), piece.size());
      const std::string_view word = piece.substr(start, end - start);
      bpe.encode(word, Bpe::Alphabet::characters, out.workspace.bpe, out.ids, out.most_ids);
      start = end;
    }
    return out.goes_on();
  }

  // Text without plain added tokens: normalizes it and looks for the normalized ones.
  bool encode_text(std::string_view text, bool at_start, Encoding& out) const {
    Normalizer::Result changed;
    if (!normalizer.is_identity()) {
      changed = normalizer.apply(text, out.input_bytes, out.workspace.patterns);
      at_start = at_start && changed.keeps_start;
      out.normalized_bytes += changed.text.size();
      out.limit.check(out.normalized_bytes);
      text = changed.text;
    }
    return added.normalized().find(text, [&](const Section& section) {
      const bool is_first = std::exchange(at_start, false);
      if (section.token) return out.add(*section.token);
      return pre_tokenizer.apply(section.text,
                                 out.input_bytes,
                                 is_first,
                                 out.workspace.patterns,
                                 [&](std::string_view piece) { return encode_piece(piece, out); });
    });
  }

  // Appends the ids of well-formed text, until there are more than `most_ids`.
  void encode(std::string_view text, size_t most_ids, std::vector<int32_t>& ids) const {
    std::unique_ptr<Workspace> workspace = workspaces.take();
    workspace->patterns.begin(text.size());
    Encoding out{.workspace = *workspace,
                 .input_bytes = text.size(),
                 .most_ids = most_ids,
                 .limit = GrowthLimit(where, text.size()),
                 .ids = ids,
                 .ids_before = ids.size()};
    bool at_start = true;
    added.plain().find(text, [&](const Section& section) {
      const bool is_first = std::exchange(at_start, false);
      if (section.token) return out.add(*section.token);
      return encode_text(section.text, is_first, out);
    });
    workspaces.give_back(std::move(workspace));
  }
};

Tokenizer Tokenizer::load(const std::filesystem::path& tokenizer_json) {
  return parse(read_text_file(tokenizer_json, kMaxFileBytes), tokenizer_json.string());
}

Tokenizer Tokenizer::load_folder(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / "tokenizer.json";
  const std::string where = file.string();
  TokenizerParts parts =
      read_tokenizer(parse_json(read_text_file(file, kMaxFileBytes), where), where);
  SideTokens side = read_side_tokens(folder, parts.added_tokens);
  parts.added_tokens = with_additions(std::move(parts.added_tokens),
                                      side.tokens,
                                      parts.vocabulary,
                                      folder.string() + ": added tokens");
  parts.bos = std::move(side.bos);
  parts.eos = std::move(side.eos);
  return Tokenizer(std::make_unique<Impl>(std::move(parts)));
}

Tokenizer Tokenizer::parse(std::string_view json, const std::string& where) {
  return Tokenizer(std::make_unique<Impl>(read_tokenizer(parse_json(json, where), where)));
}

Tokenizer Tokenizer::from_gguf(const nlohmann::json& metadata, const std::string& where) {
  TokenizerParts parts = read_tokenizer(gguf_tokenizer_json(metadata, where), where);
  SpecialTokens special = gguf_special_tokens(metadata, where);
  const auto named = [&](const char* name) {
    const auto it = special.find(name);
    return it == special.end() ? std::nullopt : std::optional(std::move(it->second));
  };
  parts.bos = named("bos_token");
  parts.eos = named("eos_token");
  return Tokenizer(std::make_unique<Impl>(std::move(parts)));
}

Tokenizer::Tokenizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

std::vector<int32_t> Tokenizer::encode(std::string_view utf8, bool add_special_tokens) const {
  return encode(utf8, add_special_tokens, std::numeric_limits<int64_t>::max());
}

std::vector<int32_t> Tokenizer::encode(std::string_view utf8,
                                       bool add_special_tokens,
                                       int64_t max_tokens) const {
  check_length(utf8.size());
  const auto most_ids = static_cast<size_t>(std::max<int64_t>(max_tokens, 0));
  const PostProcessor& around = impl_->post_processor;
  const bool takes_text = !add_special_tokens || around.keeps_text();
  const std::string repaired = is_well_formed(utf8) ? std::string() : to_well_formed(utf8);
  const std::string_view text = repaired.empty() ? utf8 : repaired;
  if (takes_text && impl_->bound && impl_->bound->is_exceeded(text, most_ids)) {
    return std::vector<int32_t>(most_ids + 1);
  }
  std::vector<int32_t> ids;
  ids.reserve(std::min(text.size() / 4, most_ids) + around.before().size() + around.after().size() +
              1);
  if (add_special_tokens) ids.assign(around.before().begin(), around.before().end());
  if (takes_text) impl_->encode(text, most_ids, ids);
  if (add_special_tokens) ids.insert(ids.end(), around.after().begin(), around.after().end());
  return ids;
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special_tokens) const {
  std::vector<std::string> tokens;
  tokens.reserve(ids.size());
  size_t bytes = 0;
  for (const int32_t id : ids) {
    if (leaves_out(id, skip_special_tokens)) continue;
    const std::string* token = impl_->token_text(id);
    bytes += token->size();
    check_length(bytes);
    tokens.push_back(*token);
  }
  return impl_->decoder.apply(std::move(tokens));
}

const std::string* Tokenizer::token_text(int32_t id) const { return impl_->token_text(id); }

std::string Tokenizer::token_bytes(int32_t id) const {
  if (const AddedToken* added = impl_->added.find(id)) return added->content;
  const std::string* token = impl_->token_text(id);
  return token == nullptr ? "" : impl_->decoder.bytes_of(*token);
}

std::optional<int32_t> Tokenizer::token_id(std::string_view token) const {
  if (const AddedToken* added = impl_->added.find(token)) return added->id;
  return impl_->vocabulary.find(token);
}

bool Tokenizer::is_special(int32_t id) const {
  const AddedToken* token = impl_->added.find(id);
  return token != nullptr && token->special;
}

bool Tokenizer::leaves_out(int32_t id, bool skip_special_tokens) const {
  const std::string* token = impl_->token_text(id);
  return token == nullptr || (skip_special_tokens && impl_->added.is_special(*token));
}

std::optional<std::string> Tokenizer::special_text(int32_t id) const {
  const AddedToken* token = impl_->added.find(id);
  return token != nullptr && token->special ? std::optional(token->content) : std::nullopt;
}

std::optional<int32_t> Tokenizer::bos_id() const {
  return impl_->bos ? token_id(*impl_->bos) : std::nullopt;
}

std::optional<int32_t> Tokenizer::eos_id() const {
  return impl_->eos ? token_id(*impl_->eos) : std::nullopt;
}

std::string Tokenizer::describe_added_tokens() const {
  Json list = Json::array();
  for (const AddedToken& token : impl_->added.tokens()) {
    list.push_back({token.id,
                    token.content,
                    token.single_word,
                    token.lstrip,
                    token.rstrip,
                    token.normalized,
                    token.special});
  }
  return list.dump();
}

int64_t Tokenizer::vocab_size() const {
  return impl_->vocabulary.size() + impl_->added.beyond_vocabulary();
}

int64_t Tokenizer::id_limit() const {
  return int64_t{1} + std::max(impl_->vocabulary.largest_id(), impl_->added.largest_id());
}

}  // namespace dms::text
