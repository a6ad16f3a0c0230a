#include "text/side_tokens.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <unordered_map>
#include <unordered_set>

#include "base/file_status.h"
#include "base/input_file.h"
#include "base/json.h"
#include "dms/error.h"

namespace dms::text {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMaxFileBytes = int64_t{64} << 20;
constexpr std::string_view kExtra = "extra_special_tokens";
constexpr std::string_view kOlderExtra = "additional_special_tokens";
constexpr std::array<std::string_view, 7> kNamed = {
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"};

bool is_named(std::string_view key) { return std::ranges::find(kNamed, key) != kNamed.end(); }

struct SideFile {
  std::string where;
  Json json = Json::object();
  OrderedJson ordered = OrderedJson::object();  // the same: new tokens get their ids in this order

  const Json* find(std::string_view key) const {
    const auto it = json.find(key);
    return it == json.end() || it->is_null() ? nullptr : &*it;
  }
  bool names(std::string_view key) const { return json.contains(key); }  // null or not
};

SideFile read_side_file(const fs::path& path) {
  SideFile file{.where = path.string()};
  if (!path_exists(path)) return file;
  const std::string text = read_text_file(path, kMaxFileBytes);
  file.json = parse_json(text, file.where);
  if (!file.json.is_object()) {
    throw InputError({.where = file.where, .what = "bad file", .expected = "a JSON object"});
  }
  file.ordered = parse_ordered_json(text, file.where);
  return file;
}

// A token as a side file writes it.
struct Declared {
  AddedToken token;
  bool says_normalized = true;
  bool is_text = false;  // the content alone

  void make_special() {
    token.special = true;
    settle();
  }
  /// Special tokens are sought in the text as it is unless the file says otherwise.
  void settle() {
    if (!says_normalized) token.normalized = !token.special;
  }
};

Declared plain_special(std::string content) {
  return {.token = {.content = std::move(content), .special = true}, .is_text = true};
}

std::string identity(const Declared& declared) {
  const AddedToken& token = declared.token;
  std::string text = token.content;
  for (const bool flag : {declared.is_text,
                          token.single_word,
                          token.lstrip,
                          token.rstrip,
                          token.normalized,
                          token.special}) {
    text += flag ? '1' : '0';
  }
  return text;
}

// "content" or {"content": …, flags}.
Declared read_token(const Json& json, bool special, const std::string& where) {
  if (json.is_string()) return plain_special(json.get<std::string>());
  if (!json.is_object()) {
    throw InputError({.where = where,
                      .what = "bad value",
                      .got = json.dump(-1, ' ', true).substr(0, 60),
                      .expected = "a token: a string or an object with content"});
  }
  const JsonFields fields(json, where);
  Declared declared{.token = {.content = fields.string("content"),
                              .single_word = fields.boolean_or("single_word", false),
                              .lstrip = fields.boolean_or("lstrip", false),
                              .rstrip = fields.boolean_or("rstrip", false),
                              .normalized = fields.boolean_or("normalized", false),
                              .special = special || fields.boolean_or("special", false)},
                    .says_normalized = fields.has("normalized")};
  declared.settle();
  return declared;
}

std::vector<Declared> read_tokens(const Json& json, bool special, const std::string& where) {
  if (!json.is_array()) {
    throw InputError({.where = where, .what = "bad value", .expected = "a list of tokens"});
  }
  std::vector<Declared> tokens;
  for (const Json& token : json) tokens.push_back(read_token(token, special, where));
  return tokens;
}

int32_t read_id(std::string_view text, const std::string& where) {
  int32_t id = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error == std::errc() && end == text.data() + text.size() && id >= 0) return id;
  throw InputError({.where = where,
                    .what = "bad token id",
                    .got = "'" + std::string(text.substr(0, 60)) + "'",
                    .expected = "an integer, 0 to " + std::to_string(Vocabulary::kMaxId)});
}

// What all files together say, by the places that transformers has for it.
class Declarations {
 public:
  Declarations(const fs::path& folder, const std::vector<AddedToken>& listed)
      : listed_(listed),
        config_(read_side_file(folder / "tokenizer_config.json")),
        map_{.where = (folder / "special_tokens_map.json").string()} {
    // A config with its own list of added tokens is complete: then the older files do not count.
    const bool is_complete = config_.find("added_tokens_decoder") != nullptr;
    if (!is_complete) map_ = read_side_file(folder / "special_tokens_map.json");
    read_named();
    read_model_specific();
    read_extra();
    if (is_complete) {
      read_decoder();
    } else {
      read_added_tokens_file(read_side_file(folder / "added_tokens.json"));
    }
  }

  SideTokens in_order() const;

 private:
  void read_named();
  void read_model_specific();
  void read_extra();
  void read_decoder();
  void read_added_tokens_file(const SideFile& file);
  void add(int32_t id, const Declared& token);
  void add_model_specific(const SideFile& file, const std::string& key, const Json& value);

  const std::vector<AddedToken>& listed_;
  SideFile config_;
  SideFile map_;
  std::map<std::string, Declared, std::less<>> named_;
  std::vector<Declared> model_specific_;
  std::unordered_map<std::string, size_t> model_specific_index_;
  std::vector<Declared> extra_;
  std::unordered_set<std::string>
      known_special_;                  // what makes a token of added_tokens.json special
  std::map<int32_t, Declared> added_;  // by id: the order in which they are added
  std::unordered_map<std::string, Declared> by_content_;  // their flags, which named ones take
};

void Declarations::read_named() {
  for (const std::string_view key : kNamed) {
    const SideFile& file = map_.names(key) ? map_ : config_;
    const Json* value = file.find(key);
    if (value == nullptr) continue;
    Declared token = read_token(*value, true, file.where + ": " + std::string(key));
    if (&file == &map_ || value->is_string()) known_special_.insert(token.token.content);
    named_.emplace(key, std::move(token));
  }
}

void Declarations::add_model_specific(const SideFile& file,
                                      const std::string& key,
                                      const Json& value) {
  Declared token = read_token(value, true, file.where + ": " + key);
  const auto [it, is_new] = model_specific_index_.emplace(key, model_specific_.size());
  if (is_new) {
    model_specific_.push_back(std::move(token));
  } else {
    model_specific_[it->second] = std::move(token);
  }
}

// Tokens with names of their own, such as image_token: other keys in _token, and
// extra_special_tokens where it is an object.
void Declarations::read_model_specific() {
  const auto keys_of = [&](const SideFile& file, bool strings) {
    for (const auto& [key, unused] : file.ordered.items()) {
      const Json* value = file.find(key);
      if (value == nullptr || !key.ends_with("_token") || is_named(key)) continue;
      if (strings ? value->is_string() : value->is_object()) add_model_specific(file, key, *value);
    }
  };
  keys_of(config_, false);
  for (const auto& [key, unused] : map_.ordered.items()) {
    const Json* value = map_.find(key);
    if (value == nullptr || !key.ends_with("_token") || is_named(key)) continue;
    add_model_specific(map_, key, *value);
  }
  keys_of(config_, true);
  for (const SideFile* file : {&config_, &map_}) {
    const Json* extra = file->find(kExtra);
    if (extra == nullptr || !extra->is_object()) continue;
    for (const auto& [key, unused] : file->ordered.at(kExtra).items()) {
      add_model_specific(*file, key, extra->at(key));
    }
  }
}

// Lists of further special tokens. The older name counts where the newer one is not there.
void Declarations::read_extra() {
  const auto append = [this](const SideFile& file, std::string_view key, bool special) {
    const Json* value = file.find(key);
    if (value == nullptr || (value->is_object() && key == kExtra)) return;
    std::ranges::move(read_tokens(*value, special, file.where + ": " + std::string(key)),
                      std::back_inserter(extra_));
  };
  const auto has_list = [](const SideFile& file) {
    return file.names(kExtra) && !file.json[kExtra].is_object();
  };
  const Json* own = config_.find(kExtra);
  const bool is_older = config_.names(kOlderExtra) && (own == nullptr || own->empty());
  const std::string_view key = is_older ? kOlderExtra : kExtra;
  append(config_, key, false);
  for (size_t i = 0; i < extra_.size(); ++i) {
    if (config_.json[key][i].is_string()) known_special_.insert(extra_[i].token.content);
  }
  const size_t own_count = extra_.size();
  append(map_, kExtra, true);
  for (size_t i = own_count; i < extra_.size(); ++i) {
    known_special_.insert(extra_[i].token.content);
  }
  if (is_older || has_list(config_) || has_list(map_)) return;
  append(map_.names(kOlderExtra) ? map_ : config_, kOlderExtra, map_.names(kOlderExtra));
}

void Declarations::read_decoder() {
  const std::string where = config_.where + ": added_tokens_decoder";
  const JsonFields checked(*config_.find("added_tokens_decoder"), where);
  for (const auto& [key, json] : config_.find("added_tokens_decoder")->items()) {
    const JsonFields fields(json, where + ": " + key);
    add(read_id(key, where), read_token(json, false, fields.where()));
  }
}

void Declarations::read_added_tokens_file(const SideFile& file) {
  for (const auto& [content, json] : file.json.items()) {
    const JsonFields fields(file.json, file.where);
    const auto id = static_cast<int32_t>(fields.integer(content, 0, Vocabulary::kMaxId));
    const bool special = known_special_.contains(content);
    add(id, Declared{.token = {.content = content, .normalized = !special, .special = special}});
  }
  for (const AddedToken& token : listed_) add(token.id, Declared{token});
}

void Declarations::add(int32_t id, const Declared& token) {
  by_content_.insert_or_assign(token.token.content, token);
  added_.insert_or_assign(id, token);
}

SideTokens Declarations::in_order() const {
  std::vector<const Declared*> all_named;
  for (const std::string_view key : kNamed) {
    const auto it = named_.find(key);
    if (it == named_.end()) continue;
    const auto same = by_content_.find(it->second.token.content);
    all_named.push_back(same == by_content_.end() ? &it->second : &same->second);
  }
  for (const Declared& token : model_specific_) all_named.push_back(&token);

  std::unordered_set<std::string_view> known;
  for (const AddedToken& token : listed_) known.insert(token.content);
  std::vector<Declared> tokens;
  for (const auto& [id, token] : added_) {
    known.insert(token.token.content);
    tokens.push_back(token);
  }
  std::unordered_set<std::string> added;
  const auto add_unknown = [&](const Declared& token) {
    // The same once more changes nothing, even where another came between.
    if (known.contains(token.token.content) || !added.insert(identity(token)).second) return;
    tokens.push_back(token);
  };
  std::unordered_set<std::string_view> names;
  for (const Declared* token : all_named) {
    names.insert(token->token.content);
    add_unknown(*token);
  }
  for (const Declared& token : extra_) add_unknown(token);

  SideTokens side;
  for (Declared& token : tokens) {
    if (names.contains(token.token.content)) token.make_special();
    side.tokens.push_back(std::move(token.token));
  }
  if (const auto it = named_.find("bos_token"); it != named_.end()) {
    side.bos = it->second.token.content;
  }
  if (const auto it = named_.find("eos_token"); it != named_.end()) {
    side.eos = it->second.token.content;
  }
  return side;
}

}  // namespace

SideTokens read_side_tokens(const fs::path& folder, const std::vector<AddedToken>& listed) {
  return Declarations(folder, listed).in_order();
}

}  // namespace dms::text
