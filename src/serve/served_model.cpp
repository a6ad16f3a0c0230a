#include "serve/served_model.h"

#include <chrono>
#include <system_error>
#include <utility>

#include "base/input_file.h"
#include "base/json.h"
#include "base/suggest.h"

namespace dms::serve {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMostTemplateBytes = int64_t{1} << 24;

ChatFormat template_format(const ServedOptions& options) {
  if (!options.chat_template) return {.chat_template = ChatTemplate::load(options.folder)};
  const GivenTemplate& given = *options.chat_template;
  return {.chat_template = ChatTemplate(given.text, given.name, options.folder),
          .adds_special_tokens = given.adds_special_tokens,
          .stops = given.stops};
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

/// How the model writes calls of tools; null: they are not looked for.
const ToolForm* tool_form(const std::string& choice,
                          const std::optional<ChatTemplate>& chat_template) {
  if (choice == "none") return nullptr;
  if (choice.empty()) {
    return chat_template ? tool_form_of(chat_template->source()) : nullptr;
  }
  if (const ToolForm* form = find_tool_form(choice)) return form;
  std::vector<std::string> names = tool_form_names();
  names.emplace_back("none");
  throw InputError({.field = "tool_parser",
                    .what = "unknown",
                    .got = choice,
                    .expected = "one of " + joined(names),
                    .hint = did_you_mean(choice, names)});
}

ChatFormat chat_format(const ServedOptions& options) {
  ChatFormat format = template_format(options);
  format.tools = tool_form(options.tool_parser, format.chat_template);
  return format;
}

bool is_there(const fs::path& file) {
  std::error_code ignored;
  return fs::is_regular_file(file, ignored);
}

/// tokenizer_config.json with its special tokens as texts, and the chat template that is in force.
OutJson tokenizer_info(const ServedOptions& options) {
  OutJson info = OutJson::object();
  const fs::path config = options.folder / "tokenizer_config.json";
  if (is_there(config)) info = OutJson::parse(read_json_file(config).dump());
  for (auto& [name, value] : info.items()) {
    if (name.ends_with("_token") && value.is_object()) value = value.value("content", "");
  }
  const fs::path own = options.folder / "chat_template.jinja";
  if (options.chat_template) {
    info["chat_template"] = options.chat_template->text;
  } else if (is_there(own)) {
    info["chat_template"] = read_text_file(own, kMostTemplateBytes);
  }
  return info;
}

/// "models/demo/" is called demo.
std::string name_of(const fs::path& folder) {
  std::error_code ignored;
  const fs::path whole = fs::weakly_canonical(folder, ignored);
  const std::string name = whole.filename().string();
  return name.empty() ? folder.string() : name;
}

}  // namespace

GivenTemplate plain_template() {
  return {.text =
              "{% for message in messages %}"
              "{% if message.role == 'system' %}System{% elif message.role == 'user' %}User"
              "{% else %}Assistant{% endif %}: {{ message.content }}\n"
              "{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}",
          .name = "plain",
          .adds_special_tokens = true,
          .stops = {"\nUser:", "\nSystem:"}};
}

template <class Model>
ServedModel describe_model(const Model& model,
                           const CacheOptions& cache,
                           const ServedOptions& options) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const ModelInfo& info = model.info();
  ServedModel served{
      .facts = {.names = options.names,
                .vocab = info.vocab,
                .context = info.context > 0 ? info.context : model.check(cache).max_tokens,
                .eos_ids = info.eos_ids,
                .sampling = info.sampling,
                .cache = cache,
                .limits = options.limits,
                .slots = options.slots},
      .tokenizer = model.tokenizer(),
      .chat = chat_format(options),
      .tokenizer_info = tokenizer_info(options),
      .created = std::chrono::duration_cast<std::chrono::seconds>(now).count()};
  served.facts.sampling.speculate = options.speculate;
  served.chat.strips_agent_lines = options.strip_agent_headers;
  if (served.facts.names.empty()) served.facts.names.push_back(name_of(options.folder));
  return served;
}

template ServedModel describe_model(const ModelSource&, const CacheOptions&, const ServedOptions&);
template ServedModel describe_model(const LLM&, const CacheOptions&, const ServedOptions&);

}  // namespace dms::serve
