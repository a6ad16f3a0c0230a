#include "train/data/model_text.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/file_status.h"
#include "base/input_file.h"
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
    hashes += path_exists(file) ? sha256(read_text_file(file, kMaxBytes)) : "none";
  }
  return sha256(hashes);
}

bool has_doubled_start(const text::Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
  return ids.size() >= 2 && ids[0] == ids[1] && tokenizer.is_special(ids[0]);
}

/// Where byte `at` of a text lies among its tokens `ids`.
struct Edge {
  size_t tokens_before = 0;  // wholly
  bool is_inside = false;    // of the token after these
};

Edge edge_at(const text::Tokenizer& tokenizer,
             std::string_view text,
             size_t at,
             const std::vector<int32_t>& ids) {
  const std::vector<int32_t> before = tokenizer.encode(text.substr(0, at), false);
  const auto same = static_cast<size_t>(std::ranges::mismatch(before, ids).in1 - before.begin());
  const auto bytes = [&](const std::vector<int32_t>& tokens, size_t end) {
    return tokenizer.decode(std::span(tokens).subspan(same, end - same), false).size();
  };
  const size_t differing = bytes(before, before.size());
  size_t count = same;
  while (count < ids.size() && bytes(ids, count + 1) <= differing) ++count;
  return {.tokens_before = count, .is_inside = bytes(ids, count) < differing};
}

}  // namespace

ModelText load_model_text(const fs::path& folder) {
  ModelSpec spec = load_spec(folder, MetadataScope::with_parent);
  text::Tokenizer tokenizer = text::Tokenizer::load_folder(folder);
  add_end_token(spec, tokenizer.eos_id());
  std::string tokenizer_hash = sha256(read_text_file(folder / "tokenizer.json", kMaxBytes) +
                                      tokenizer.describe_added_tokens());
  return {.tokenizer = std::move(tokenizer),
          .chat = text::load_chat_template(folder),
          .end_tokens = std::move(spec.eos_ids),
          .vocab = spec.vocab,
          .tokenizer_hash = std::move(tokenizer_hash),
          .chat_hash = hash_chat_files(folder)};
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
  const std::vector<int32_t> ids = tokenizer.encode(text, false);
  std::vector<uint8_t> loss(ids.size());
  for (const ByteSpan& span : spans) {
    const Edge begin = edge_at(tokenizer, text, span.begin, ids);
    const Edge end = edge_at(tokenizer, text, span.end, ids);
    const size_t last = end.tokens_before + (end.is_inside ? 1 : 0);
    for (size_t i = begin.tokens_before; i < last; ++i) loss[i] = 1;
  }
  Document document = encode_text(tokenizer, text);
  document.loss.resize(document.ids.size());
  const auto place = std::ranges::search(document.ids, ids).begin() - document.ids.begin();
  ensure(place + std::ssize(ids) <= std::ssize(document.ids), "special tokens go around a text");
  std::ranges::copy(loss, document.loss.begin() + place);
  return document;
}

}  // namespace dms::train::data
