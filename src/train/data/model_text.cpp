#include "train/data/model_text.h"

#include <algorithm>
#include <array>

#include "base/mapped_file.h"
#include "model/spec/load.h"
#include "train/data/sha256.h"

namespace dms::train::data {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMaxBytes = int64_t{1} << 28;

std::string hash_chat_files(const fs::path& folder) {
  constexpr std::array<const char*, 4> kFiles{"chat_template.jinja",
                                              "chat_template.json",
                                              "tokenizer_config.json",
                                              "special_tokens_map.json"};
  std::string hashes;
  for (const char* name : kFiles) {
    const fs::path file = folder / name;
    hashes += fs::exists(file) ? sha256(read_text_file(file, kMaxBytes)) : "none";
  }
  return sha256(hashes);
}

bool has_doubled_start(const text::Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
  return ids.size() >= 2 && ids[0] == ids[1] && tokenizer.is_special(ids[0]);
}

/// The first token of `ids` that is not wholly before byte `end` of their text.
size_t token_at(const text::Tokenizer& tokenizer,
                std::string_view text,
                size_t end,
                const std::vector<int32_t>& ids) {
  const std::vector<int32_t> before = tokenizer.encode(text.substr(0, end), true);
  return static_cast<size_t>(std::ranges::mismatch(before, ids).in1 - before.begin());
}

}  // namespace

ModelText load_model_text(const fs::path& folder) {
  const ModelSpec spec = load_spec(folder, MetadataScope::local);
  const fs::path file = folder / "tokenizer.json";
  const std::string json = read_text_file(file, kMaxBytes);
  ModelText model{.tokenizer = text::Tokenizer::parse(json, file.string()),
                  .chat = text::load_chat_template(folder),
                  .eos = std::nullopt,
                  .vocab = spec.vocab,
                  .tokenizer_hash = sha256(json),
                  .chat_hash = hash_chat_files(folder)};
  if (!spec.eos_ids.empty()) model.eos = spec.eos_ids.front();
  return model;
}

Document encode_text(const text::Tokenizer& tokenizer, std::string_view text) {
  Document document;
  document.ids = tokenizer.encode(text, true);
  if (has_doubled_start(tokenizer, document.ids)) document.ids.erase(document.ids.begin());
  return document;
}

Document encode_text(const text::Tokenizer& tokenizer,
                     std::string_view text,
                     std::span<const ByteSpan> spans) {
  Document document;
  document.ids = tokenizer.encode(text, true);
  document.loss.resize(document.ids.size());
  for (const ByteSpan& span : spans) {
    const size_t first = token_at(tokenizer, text, span.begin, document.ids);
    const size_t last = span.end == text.size() ? document.ids.size()
                                                : token_at(tokenizer, text, span.end, document.ids);
    for (size_t i = first; i < last; ++i) document.loss[i] = 1;
  }
  if (has_doubled_start(tokenizer, document.ids)) {
    document.ids.erase(document.ids.begin());
    document.loss.erase(document.loss.begin());
  }
  return document;
}

}  // namespace dms::train::data
