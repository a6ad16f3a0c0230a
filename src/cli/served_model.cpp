#include "cli/served_model.h"

#include <chrono>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "base/json.h"
#include "base/suggest.h"
#include "cli/chat_prompt.h"
#include "cli/input.h"

namespace dms::cli {
namespace {

namespace fs = std::filesystem;

serve::ChatFormat template_format(const ServedOptions& options) {
  const std::string& choice = options.chat_template;
  if (choice.empty()) return {.chat_template = ChatTemplate::load(options.folder)};
  if (choice != "plain") {
    return {.chat_template = ChatTemplate(read_text(choice), choice, options.folder)};
  }
  return {.chat_template = ChatTemplate(kPlainTemplate, "plain", options.folder),
          .adds_special_tokens = true,
          .stops = plain_stops()};
}

/// How the model writes calls of tools; null: they are not looked for.
const serve::ToolForm* tool_form(const std::string& choice,
                                 const std::optional<ChatTemplate>& chat_template) {
  if (choice == "none") return nullptr;
  if (choice.empty()) {
    return chat_template ? serve::tool_form_of(chat_template->source()) : nullptr;
  }
  if (const serve::ToolForm* form = serve::find_tool_form(choice)) return form;
  std::vector<std::string> names = serve::tool_form_names();
  names.emplace_back("none");
  throw InputError({.where = "--tool-parser",
                    .what = "unknown",
                    .got = choice,
                    .expected = fmt::format("one of {}", fmt::join(names, ", ")),
                    .hint = did_you_mean(choice, names)});
}

serve::ChatFormat chat_format(const ServedOptions& options) {
  serve::ChatFormat format = template_format(options);
  format.tools = tool_form(options.tool_parser, format.chat_template);
  return format;
}

bool is_there(const fs::path& file) {
  std::error_code ignored;
  return fs::is_regular_file(file, ignored);
}

/// tokenizer_config.json with its special tokens as texts, and the chat template that is in force.
serve::OutJson tokenizer_info(const ServedOptions& options) {
  serve::OutJson info = serve::OutJson::object();
  const fs::path config = options.folder / "tokenizer_config.json";
  if (is_there(config)) info = serve::OutJson::parse(read_json_file(config).dump());
  for (auto& [name, value] : info.items()) {
    if (name.ends_with("_token") && value.is_object()) value = value.value("content", "");
  }
  const fs::path own = options.folder / "chat_template.jinja";
  if (options.chat_template == "plain") {
    info["chat_template"] = kPlainTemplate;
  } else if (!options.chat_template.empty()) {
    info["chat_template"] = read_text(options.chat_template);
  } else if (is_there(own)) {
    info["chat_template"] = read_text(own.string());
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

serve::ServedModel describe_model(const ModelSource& source,
                                  const CacheOptions& cache,
                                  const ServedOptions& options) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const ModelInfo& info = source.info();
  serve::ServedModel model{
      .facts = {.names = options.names,
                .vocab = info.vocab,
                .context = info.context > 0 ? info.context : source.check(cache).max_tokens,
                .eos_ids = info.eos_ids,
                .sampling = info.sampling,
                .cache = cache,
                .limits = options.limits,
                .slots = options.slots},
      .tokenizer = source.tokenizer(),
      .chat = chat_format(options),
      .tokenizer_info = tokenizer_info(options),
      .created = std::chrono::duration_cast<std::chrono::seconds>(now).count()};
  model.facts.sampling.speculate = options.speculate;
  model.chat.strips_agent_lines = options.strip_agent_headers;
  if (model.facts.names.empty()) model.facts.names.push_back(name_of(options.folder));
  return model;
}

}  // namespace dms::cli
