// load_chat_template and load_special_tokens (declared in chat_template.h).

#include <array>

#include "base/file_status.h"
#include "base/input_file.h"
#include "dms/error.h"
#include "text/chat_template.h"

namespace dms::text {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMaxTemplateBytes = int64_t{1} << 20;
constexpr int64_t kMaxConfigBytes = int64_t{64} << 20;

struct Source {
  std::string text;
  std::string where;
};

[[noreturn]] void bad_template(const std::string& where) {
  throw InputError({.where = where + ": chat_template",
                    .what = "bad value",
                    .expected = "a string or a list of {name, template}"});
}

/// The template text in a config's "chat_template" field.
std::optional<std::string> template_in(const Json& config, const std::string& where) {
  const auto field = config.find("chat_template");
  if (field == config.end() || field->is_null()) return std::nullopt;
  if (field->is_string()) return field->get<std::string>();
  if (!field->is_array() || field->empty()) bad_template(where);
  const Json* chosen = &field->front();
  for (const Json& entry : *field) {
    if (!entry.is_object()) bad_template(where);
    if (entry.value("name", Json()) == "default") chosen = &entry;
  }
  const auto text = chosen->find("template");
  if (text == chosen->end() || !text->is_string()) bad_template(where);
  return text->get<std::string>();
}

Json read_object_if_there(const fs::path& path) {
  if (!path_exists(path)) return Json::object();
  Json config = read_json_file(path, kMaxConfigBytes);
  if (!config.is_object()) {
    throw InputError({.where = path.string(), .what = "bad file", .expected = "a JSON object"});
  }
  return config;
}

std::optional<Source> find_source(const fs::path& folder, const Json& tokenizer_config) {
  const fs::path plain = folder / "chat_template.jinja";
  if (path_exists(plain)) return Source{read_text_file(plain, kMaxTemplateBytes), plain.string()};
  const std::string config = (folder / "tokenizer_config.json").string();
  if (auto text = template_in(tokenizer_config, config)) return Source{*text, config};
  const fs::path own = folder / "chat_template.json";
  if (auto text = template_in(read_object_if_there(own), own.string())) {
    return Source{*text, own.string()};
  }
  return std::nullopt;
}

/// Adds the special tokens of `config`, each a string or {"content": string}.
void add_special_tokens(const Json& config, SpecialTokens& tokens) {
  constexpr std::array<const char*, 7> kNames{
      "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"};
  for (const char* name : kNames) {
    const auto field = config.find(name);
    if (field == config.end()) continue;
    const Json content = field->is_object() ? field->value("content", Json()) : *field;
    if (content.is_string()) tokens.try_emplace(name, content.get<std::string>());
  }
}

}  // namespace

SpecialTokens load_special_tokens(const fs::path& folder) {
  SpecialTokens tokens;
  add_special_tokens(read_object_if_there(folder / "tokenizer_config.json"), tokens);
  add_special_tokens(read_object_if_there(folder / "special_tokens_map.json"), tokens);
  return tokens;
}

std::optional<LoadedChatTemplate> load_chat_template(const fs::path& folder) {
  const std::optional<Source> source =
      find_source(folder, read_object_if_there(folder / "tokenizer_config.json"));
  if (!source) return std::nullopt;
  return LoadedChatTemplate{ChatTemplate(source->text, source->where), load_special_tokens(folder)};
}

}  // namespace dms::text
