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

struct Sources {
  Source chat;
  std::optional<Source> tools{};
};

[[noreturn]] void bad_template(const std::string& where) {
  throw InputError({.where = where + ": chat_template",
                    .what = "bad value",
                    .expected = "a string or a list of {name, template}"});
}

Source source_in(const Json& entry, const std::string& where) {
  const auto text = entry.find("template");
  if (text == entry.end() || !text->is_string()) bad_template(where);
  return {text->get<std::string>(), where};
}

/// The templates in a config's "chat_template" field.
std::optional<Sources> templates_in(const Json& config, const std::string& where) {
  const auto field = config.find("chat_template");
  if (field == config.end() || field->is_null()) return std::nullopt;
  if (field->is_string()) return Sources{.chat = {field->get<std::string>(), where}};
  if (!field->is_array() || field->empty()) bad_template(where);
  const Json* chosen = &field->front();
  const Json* for_tools = nullptr;
  for (const Json& entry : *field) {
    if (!entry.is_object()) bad_template(where);
    const Json name = entry.value("name", Json());
    if (name == "default") chosen = &entry;
    if (name == "tool_use") for_tools = &entry;
  }
  Sources sources{.chat = source_in(*chosen, where)};
  if (for_tools != nullptr) sources.tools = source_in(*for_tools, where);
  return sources;
}

Json read_object_if_there(const fs::path& path) {
  if (!path_exists(path)) return Json::object();
  Json config = read_json_file(path, kMaxConfigBytes);
  if (!config.is_object()) {
    throw InputError({.where = path.string(), .what = "bad file", .expected = "a JSON object"});
  }
  return config;
}

std::optional<Source> read_if_there(const fs::path& path) {
  if (!path_exists(path)) return std::nullopt;
  return Source{read_text_file(path, kMaxTemplateBytes), path.string()};
}

std::optional<Sources> find_sources(const fs::path& folder, const Json& tokenizer_config) {
  if (auto plain = read_if_there(folder / "chat_template.jinja")) {
    return Sources{.chat = *std::move(plain),
                   .tools = read_if_there(folder / "additional_chat_templates" / "tool_use.jinja")};
  }
  const std::string config = (folder / "tokenizer_config.json").string();
  if (auto sources = templates_in(tokenizer_config, config)) return sources;
  const fs::path own = folder / "chat_template.json";
  return templates_in(read_object_if_there(own), own.string());
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
  const std::optional<Sources> sources =
      find_sources(folder, read_object_if_there(folder / "tokenizer_config.json"));
  if (!sources) return std::nullopt;
  LoadedChatTemplate loaded{ChatTemplate(sources->chat.text, sources->chat.where),
                            load_special_tokens(folder)};
  if (sources->tools) loaded.tool_template.emplace(sources->tools->text, sources->tools->where);
  return loaded;
}

}  // namespace dms::text
