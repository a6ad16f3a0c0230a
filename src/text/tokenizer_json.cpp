#include "text/tokenizer_json.h"

#include "dms/error.h"
#include "text/pipeline_json.h"

namespace dms::text {
namespace {

Vocabulary read_vocabulary(const JsonFields& model) {
  const std::string where = model.where() + ": vocab";
  const Json* vocab = model.find("vocab");
  if (vocab == nullptr || !vocab->is_object()) {
    throw InputError({.where = where, .what = "bad value", .expected = "an object of token: id"});
  }
  Vocabulary vocabulary;
  for (const auto& [text, id] : vocab->items()) {
    if (!id.is_number_integer()) {
      throw InputError({.where = where,
                        .what = "bad id of token '" + text.substr(0, 60) + "'",
                        .got = id.dump(-1, ' ', true).substr(0, 60),
                        .expected = "an integer"});
    }
    const bool fits = id.is_number_unsigned() && id.get<uint64_t>() <= Vocabulary::kMaxId;
    vocabulary.add(text, fits ? id.get<int32_t>() : -1, where);
  }
  vocabulary.index_bytes();
  return vocabulary;
}

// "a b" in older files, ["a", "b"] in newer ones.
Merge read_merge(const Json& json, const std::string& where) {
  const bool pair =
      json.is_array() && json.size() == 2 && json[0].is_string() && json[1].is_string();
  if (pair) return {json[0].get<std::string>(), json[1].get<std::string>()};
  if (json.is_string()) {
    const auto& text = json.get_ref<const std::string&>();
    const size_t space = text.find(' ');
    if (space != std::string::npos && text.find(' ', space + 1) == std::string::npos) {
      return {text.substr(0, space), text.substr(space + 1)};
    }
  }
  throw InputError({.where = where,
                    .what = "bad merge",
                    .got = json.dump(-1, ' ', true).substr(0, 60),
                    .expected = "\"left right\" or [\"left\", \"right\"]"});
}

std::vector<Merge> read_merges(const JsonFields& model) {
  const std::string where = model.where() + ": merges";
  std::vector<Merge> merges;
  for (const Json& merge : read_steps(model, "merges")) merges.push_back(read_merge(merge, where));
  return merges;
}

// What is put before or after characters to find their token: short in every published tokenizer.
// Where there is no such token, every byte of it may become an id, for each character of a text.
std::string read_affix(const JsonFields& model, std::string_view key) {
  constexpr size_t kMaxAffixBytes = 16;
  std::string affix = model.string_or(key, "");
  if (affix.size() <= kMaxAffixBytes) return affix;
  throw InputError({.where = model.where() + ": " + std::string(key),
                    .what = "too long",
                    .got = std::to_string(affix.size()) + " bytes",
                    .expected = "at most " + std::to_string(kMaxAffixBytes)});
}

BpeOptions read_bpe_options(const JsonFields& model, const Vocabulary& vocabulary) {
  if (model.number_or("dropout", 0, 0, 1) != 0) {
    throw_unknown(model.where(), "dropout", "BPE without dropout");
  }
  BpeOptions options{.unk_id = std::nullopt,
                     .continuing_prefix = read_affix(model, "continuing_subword_prefix"),
                     .end_suffix = read_affix(model, "end_of_word_suffix"),
                     .fuse_unk = model.boolean_or("fuse_unk", false),
                     .byte_fallback = model.boolean_or("byte_fallback", false),
                     .ignore_merges = model.boolean_or("ignore_merges", false)};
  if (!model.has("unk_token")) return options;
  const std::string unk = model.string("unk_token");
  options.unk_id = vocabulary.find(unk);
  if (!options.unk_id) {
    throw InputError({.where = model.where() + ": unk_token",
                      .what = "token is not in the vocabulary",
                      .got = "'" + unk.substr(0, 60) + "'"});
  }
  return options;
}

struct Model {
  Vocabulary vocabulary;
  std::variant<BpeParts, UnigramOptions> kind;
};

// vocab is a list of ["token", score]: the place is the id.
Model read_unigram(const JsonFields& model) {
  Model read;
  UnigramOptions options{.scores = {},
                         .unk_id = std::nullopt,
                         .byte_fallback = model.boolean_or("byte_fallback", false)};
  const std::string where = model.where() + ": vocab";
  for (const Json& entry : read_steps(model, "vocab")) {
    const bool fits =
        entry.is_array() && entry.size() == 2 && entry[0].is_string() && entry[1].is_number();
    if (!fits) {
      throw InputError({.where = where,
                        .what = "bad entry",
                        .got = entry.dump(-1, ' ', true).substr(0, 60),
                        .expected = "[\"token\", score]"});
    }
    const auto id = static_cast<int64_t>(options.scores.size());
    read.vocabulary.add_repeatable(entry[0].get<std::string>(),
                                   id > Vocabulary::kMaxId ? -1 : static_cast<int32_t>(id),
                                   where);
    options.scores.push_back(entry[1].get<double>());
  }
  if (model.has("unk_id")) {
    const auto last = static_cast<int64_t>(options.scores.size()) - 1;
    options.unk_id = static_cast<int32_t>(model.integer("unk_id", 0, last));
  }
  read.kind = std::move(options);
  return read;
}

Model read_model(const JsonFields& model) {
  // Older files do not say it.
  const Json* vocab = model.find("vocab");
  const bool is_list = vocab != nullptr && vocab->is_array();
  const std::string type = model.string_or("type", is_list ? "Unigram" : "BPE");
  if (type == "Unigram") return read_unigram(model);
  if (type != "BPE") throw_unknown(model.where(), type, "BPE or Unigram");
  Model read{.vocabulary = read_vocabulary(model), .kind = {}};
  BpeOptions options = read_bpe_options(model, read.vocabulary);
  read.kind = BpeParts{std::move(options), read_merges(model)};
  return read;
}

std::vector<AddedToken> read_added_tokens(const JsonFields& root, const Vocabulary& vocabulary) {
  std::vector<AddedToken> tokens;
  if (!root.has("added_tokens")) return tokens;
  for (const Json& json : read_steps(root, "added_tokens")) {
    const JsonFields token(json, root.where() + ": added_tokens");
    const bool special = token.boolean_or("special", false);
    tokens.push_back({.id = static_cast<int32_t>(token.integer("id", 0, Vocabulary::kMaxId)),
                      .content = token.string("content"),
                      .single_word = token.boolean_or("single_word", false),
                      .lstrip = token.boolean_or("lstrip", false),
                      .rstrip = token.boolean_or("rstrip", false),
                      .normalized = token.boolean_or("normalized", !special),
                      .special = special});
    check_added_token(tokens.back(), vocabulary, token.where());
  }
  return tokens;
}

// One of the optional stages of the pipeline.
template <class Stage>
Stage read_stage(const JsonFields& root, std::string_view key) {
  const Json* json = root.find(key);
  if (json == nullptr) return Stage();
  return Stage(*json, root.where() + ": " + std::string(key));
}

}  // namespace

TokenizerParts read_tokenizer(const Json& json, const std::string& where) {
  const JsonFields root(json, where);
  const Json* model_json = root.find("model");
  const Json none;
  const JsonFields model(model_json == nullptr ? none : *model_json, where + ": model");
  Model read = read_model(model);
  std::vector<AddedToken> added = read_added_tokens(root, read.vocabulary);
  return {.where = where,
          .vocabulary = std::move(read.vocabulary),
          .model = std::move(read.kind),
          .normalizer = read_stage<Normalizer>(root, "normalizer"),
          .pre_tokenizer = read_stage<PreTokenizer>(root, "pre_tokenizer"),
          .post_processor = read_stage<PostProcessor>(root, "post_processor"),
          .decoder = read_stage<Decoder>(root, "decoder"),
          .added_tokens = std::move(added),
          .bos = std::nullopt,
          .eos = std::nullopt};
}

}  // namespace dms::text
