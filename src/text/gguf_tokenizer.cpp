#include "text/gguf_tokenizer.h"

#include <array>
#include <cmath>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "dms/error.h"
#include "text/gguf_pre_tokenizer.h"
#include "text/score_merges.h"
#include "text/vocabulary.h"

namespace dms::text {
namespace {

constexpr const char* kModel = "tokenizer.ggml.model";
constexpr const char* kPre = "tokenizer.ggml.pre";
constexpr const char* kTokens = "tokenizer.ggml.tokens";
constexpr const char* kTypes = "tokenizer.ggml.token_type";
constexpr const char* kScores = "tokenizer.ggml.scores";
constexpr const char* kMerges = "tokenizer.ggml.merges";
constexpr const char* kTemplate = "tokenizer.chat_template";
constexpr const char* kToolTemplate = "tokenizer.chat_template.tool_use";
constexpr std::string_view kMeta = "\xE2\x96\x81";  // U+2581
constexpr size_t kMaxScoredBytes = 256;  // of a token; SentencePiece's have 16 characters
constexpr size_t kMaxTemplateBytes = size_t{1} << 20;

// Of tokenizer.ggml.token_type; the others are plain for us.
constexpr int64_t kControl = 3;
constexpr int64_t kUserDefined = 4;
constexpr int64_t kMaxType = 6;

struct NamedToken {
  const char* name;  // tokenizer_config.json's
  const char* key;
};

constexpr std::array kNamed{
    NamedToken{"bos_token", "tokenizer.ggml.bos_token_id"},
    NamedToken{"eos_token", "tokenizer.ggml.eos_token_id"},
    NamedToken{"unk_token", "tokenizer.ggml.unknown_token_id"},
    NamedToken{"pad_token", "tokenizer.ggml.padding_token_id"},
    NamedToken{"sep_token", "tokenizer.ggml.seperator_token_id"},  // the format's spelling
    NamedToken{"cls_token", "tokenizer.ggml.cls_token_id"},
    NamedToken{"mask_token", "tokenizer.ggml.mask_token_id"},
};

InputError bad(const JsonFields& fields,
               const char* key,
               const std::string& what,
               const std::string& got,
               const std::string& expected) {
  return InputError(
      {.where = fields.where() + ": " + key, .what = what, .got = got, .expected = expected});
}

const Json& array_of(const JsonFields& fields, const char* key) {
  const Json* value = fields.find(key);
  if (value != nullptr && value->is_array()) return *value;
  throw bad(fields,
            key,
            value == nullptr ? "missing" : "bad value",
            value == nullptr ? "" : quote_json(*value),
            "an array");
}

std::vector<std::string> read_tokens(const JsonFields& fields) {
  std::vector<std::string> tokens;
  for (const Json& token : array_of(fields, kTokens)) {
    if (!token.is_string()) {
      throw bad(fields, kTokens, "bad value", quote_json(token), "an array of strings");
    }
    tokens.push_back(token.get<std::string>());
  }
  if (!tokens.empty() && tokens.size() <= static_cast<size_t>(Vocabulary::kMaxId) + 1) {
    return tokens;
  }
  throw bad(fields,
            kTokens,
            "bad number of tokens",
            std::to_string(tokens.size()),
            "1 to " + std::to_string(Vocabulary::kMaxId + 1));
}

/// Checks that a list has something for each token.
const Json& array_by_id(const JsonFields& fields, const char* key, size_t tokens) {
  const Json& list = array_of(fields, key);
  if (list.size() == tokens) return list;
  throw bad(fields,
            key,
            "wrong length",
            std::to_string(list.size()),
            std::to_string(tokens) + ", as many as " + kTokens);
}

std::vector<int32_t> read_types(const JsonFields& fields, size_t tokens) {
  if (!fields.has(kTypes)) return std::vector<int32_t>(tokens);
  return integer_array(
      array_by_id(fields, kTypes, tokens), kMaxType, fields.where() + ": " + kTypes);
}

std::vector<double> read_scores(const JsonFields& fields, size_t tokens) {
  std::vector<double> scores;
  for (const Json& score : array_by_id(fields, kScores, tokens)) {
    if (!score.is_number() || !std::isfinite(score.get<double>())) {
      throw bad(fields, kScores, "bad value", quote_json(score), "finite numbers");
    }
    scores.push_back(score.get<double>());
  }
  return scores;
}

std::optional<size_t> token_id(const JsonFields& fields, const char* key, size_t tokens) {
  if (!fields.has(key)) return std::nullopt;
  return static_cast<size_t>(fields.integer(key, 0, static_cast<int64_t>(tokens) - 1));
}

/// The parts of a tokenizer.json that both kinds of vocabulary have.
class Builder {
 public:
  Builder(const JsonFields& fields)
      : fields_(fields), tokens_(read_tokens(fields)), types_(read_types(fields, tokens_.size())) {}

  Json byte_level() const;
  Json sentence_piece() const;

 private:
  Json vocabulary() const {
    Json vocabulary = Json::object();
    for (size_t id = 0; id < tokens_.size(); ++id) vocabulary[tokens_[id]] = id;
    return vocabulary;
  }

  std::optional<size_t> id_of(const char* key) const {
    return token_id(fields_, key, tokens_.size());
  }

  Json merges() const;
  Json added_tokens(const Json& vocabulary) const;
  Json post_processor(bool adds_bos) const;
  Json assemble(Json model, Json pre_tokenizer, Json decoder, bool adds_bos) const;

  const JsonFields& fields_;
  std::vector<std::string> tokens_;
  std::vector<int32_t> types_;
};

/// Control tokens and those with a role of their own are special; what the model's makers defined
/// is found in the text as well, but is text.
Json Builder::added_tokens(const Json& vocabulary) const {
  std::set<size_t> named;
  for (const NamedToken& token : kNamed) {
    if (const std::optional<size_t> id = id_of(token.key)) named.insert(*id);
  }
  Json added = Json::array();
  for (size_t id = 0; id < tokens_.size(); ++id) {
    const bool special = types_[id] == kControl || named.contains(id);
    if (!special && types_[id] != kUserDefined) continue;
    // Of a text that two tokens have the last counts.
    if (tokens_[id].empty() || vocabulary[tokens_[id]] != id) continue;
    added.push_back(
        {{"id", id}, {"content", tokens_[id]}, {"special", special}, {"normalized", false}});
  }
  return added;
}

Json Builder::post_processor(bool adds_bos) const {
  Json single = Json::array();
  Json tokens = Json::object();
  const auto add = [&](std::optional<size_t> id) {
    if (!id) return;
    single.push_back({{"SpecialToken", {{"id", tokens_[*id]}}}});
    tokens[tokens_[*id]] = {{"ids", Json::array({*id})}};
  };
  if (fields_.boolean_or("tokenizer.ggml.add_bos_token", adds_bos)) add(id_of(kNamed[0].key));
  single.push_back({{"Sequence", {{"id", "A"}}}});
  if (fields_.boolean_or("tokenizer.ggml.add_eos_token", false)) add(id_of(kNamed[1].key));
  return {{"type", "TemplateProcessing"},
          {"single", std::move(single)},
          {"special_tokens", std::move(tokens)}};
}

Json Builder::assemble(Json model, Json pre_tokenizer, Json decoder, bool adds_bos) const {
  Json vocabulary = this->vocabulary();
  Json added = added_tokens(vocabulary);
  model["type"] = "BPE";
  model["vocab"] = std::move(vocabulary);
  return {{"model", std::move(model)},
          {"added_tokens", std::move(added)},
          {"pre_tokenizer", std::move(pre_tokenizer)},
          {"post_processor", post_processor(adds_bos)},
          {"decoder", std::move(decoder)}};
}

Json Builder::byte_level() const {
  GgufPreTokenizer pre =
      gguf_pre_tokenizer(fields_.string_or(kPre, "default"), fields_.where() + ": " + kPre);
  return assemble({{"merges", array_of(fields_, kMerges)}, {"ignore_merges", pre.ignore_merges}},
                  std::move(pre.json),
                  {{"type", "ByteLevel"}},
                  pre.adds_bos);
}

/// Those of the file, or what its scores come to.
Json Builder::merges() const {
  if (fields_.has(kMerges)) return array_of(fields_, kMerges);
  for (const std::string& token : tokens_) {
    if (token.size() <= kMaxScoredBytes) continue;
    throw bad(fields_,
              kTokens,
              "token too long for a vocabulary with scores",
              std::to_string(token.size()) + " bytes",
              "at most " + std::to_string(kMaxScoredBytes));
  }
  Json merges = Json::array();
  for (Merge& merge : merges_by_score(tokens_, read_scores(fields_, tokens_.size()))) {
    merges.push_back(Json::array({std::move(merge.left), std::move(merge.right)}));
  }
  return merges;
}

Json Builder::sentence_piece() const {
  const bool adds_space = fields_.boolean_or("tokenizer.ggml.add_space_prefix", true);
  Json model{{"merges", merges()}, {"byte_fallback", true}, {"fuse_unk", true}};
  if (const auto unk = id_of("tokenizer.ggml.unknown_token_id")) model["unk_token"] = tokens_[*unk];
  Json steps =
      Json::array({{{"type", "Replace"}, {"pattern", {{"String", kMeta}}}, {"content", " "}},
                   {{"type", "ByteFallback"}},
                   {{"type", "Fuse"}}});
  if (adds_space) {
    steps.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  }
  return assemble(std::move(model),
                  {{"type", "Metaspace"},
                   {"replacement", kMeta},
                   {"prepend_scheme", adds_space ? "first" : "never"},
                   {"split", false}},
                  {{"type", "Sequence"}, {"decoders", std::move(steps)}},
                  true);
}

std::optional<ChatTemplate> template_of(const JsonFields& fields, const char* key) {
  if (!fields.has(key)) return std::nullopt;
  const std::string source = fields.string(key);
  if (source.size() > kMaxTemplateBytes) {
    throw bad(fields,
              key,
              "too long",
              std::to_string(source.size()) + " bytes",
              "at most " + std::to_string(kMaxTemplateBytes));
  }
  return ChatTemplate(source, fields.where() + ": " + key);
}

}  // namespace

bool has_gguf_tokenizer(const Json& metadata) { return metadata.contains(kTokens); }

Json gguf_tokenizer_json(const Json& metadata, const std::string& where) {
  const JsonFields fields(metadata, where);
  const std::string model = fields.string(kModel);
  if (model == "gpt2") return Builder(fields).byte_level();
  if (model == "llama") return Builder(fields).sentence_piece();
  throw bad(fields,
            kModel,
            "unknown kind of tokenizer",
            "'" + model.substr(0, 60) + "'",
            "gpt2 (byte-level BPE) or llama (SentencePiece with scores)");
}

SpecialTokens gguf_special_tokens(const Json& metadata, const std::string& where) {
  SpecialTokens special;
  if (!has_gguf_tokenizer(metadata)) return special;
  const JsonFields fields(metadata, where);
  const Json& tokens = array_of(fields, kTokens);
  for (const NamedToken& named : kNamed) {
    const std::optional<size_t> id = token_id(fields, named.key, tokens.size());
    if (id && tokens[*id].is_string()) special.emplace(named.name, tokens[*id].get<std::string>());
  }
  return special;
}

std::optional<LoadedChatTemplate> gguf_chat_template(const Json& metadata,
                                                     const std::string& where) {
  const JsonFields fields(metadata, where);
  std::optional<ChatTemplate> chat = template_of(fields, kTemplate);
  std::optional<ChatTemplate> tools = template_of(fields, kToolTemplate);
  if (!chat) std::swap(chat, tools);
  if (!chat) return std::nullopt;
  return LoadedChatTemplate{.chat_template = *std::move(chat),
                            .special_tokens = gguf_special_tokens(metadata, where),
                            .tool_template = std::move(tools)};
}

}  // namespace dms::text
