// dms document: what many conversations or prompts begin with, compressed once and kept as a file.

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "cli/adapter_use.h"
#include "cli/chat_prompt.h"
#include "cli/command.h"
#include "cli/input.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/text_table.h"
#include "dms/document_prompt.h"
#include "dms/error.h"

namespace dms::cli {
namespace {

struct Options {
  std::string model;
  std::string out;
  std::string text_file;
  std::string messages_file;
  PromptSource prompt;
  std::string chat_template;
  ModelOptions model_options;
  CacheOptions cache;
  bool json = false;
};

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void check_one_source(const Options& options) {
  int given = 0;
  for (const std::string* file : {&options.text_file,
                                  &options.messages_file,
                                  &options.prompt.text_file,
                                  &options.prompt.ids_file}) {
    given += file->empty() ? 0 : 1;
  }
  if (given == 1) return;
  throw InputError({.where = "--text-file, --messages, --prompt-file, --ids",
                    .what = "a document is made of one of them",
                    .got = given == 0 ? "none" : "several"});
}

/// A text alone is a system message where the model has a template, as for the server.
DocumentNote note_of(const Options& options, bool has_template) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  DocumentNote note{.created = std::chrono::duration_cast<std::chrono::seconds>(now).count()};
  if (!options.messages_file.empty()) {
    note.messages =
        messages_of_json(read_text(options.messages_file), input_name(options.messages_file));
    if (note.messages.empty()) {
      throw InputError({.where = input_name(options.messages_file), .what = "holds no messages"});
    }
  } else if (!options.text_file.empty() && has_template) {
    note.messages.push_back({.role = "system", .content = read_text(options.text_file)});
  }
  return note;
}

std::vector<int32_t> beginning_of(const std::vector<ChatMessage>& messages,
                                  const ChatPrompt& prompt,
                                  const ModelSource& source,
                                  int64_t max_tokens) {
  return common_beginning(messages, [&](const std::vector<ChatMessage>& talk) {
    RenderedChat chat{.text = prompt.render(talk), .ids = {}};
    chat.ids = source.encode(chat.text, prompt.adds_special_tokens(), max_tokens);
    return chat;
  });
}

/// Of a prompt: its file, or a text for a model that has no chat template.
std::vector<int32_t> ids_of(const Options& options, const ModelSource& source, int64_t most) {
  PromptSource from = options.prompt;
  if (!options.text_file.empty()) from.text_file = options.text_file;
  const Prompt prompt = read_prompt(from, "--text-file, --messages, --prompt-file, --ids");
  return prompt_ids(source, prompt, false, most);
}

/// By the model's template, or the one given; nothing where none is wanted.
std::optional<ChatPrompt> chat_prompt_of(const Options& options) {
  const bool is_text = !options.text_file.empty();
  if (!is_text && options.messages_file.empty()) {
    if (options.chat_template.empty()) return std::nullopt;
    throw InputError({.where = "--template", .what = "goes with --text-file or --messages"});
  }
  const bool has_own = ChatTemplate::load(options.model).has_value();
  if (is_text && options.chat_template.empty() && !has_own) return std::nullopt;
  return ChatPrompt::make(options.model, {.chat_template = options.chat_template});
}

void print_result(const Options& options,
                  const Document& document,
                  const DocumentNote& note,
                  int64_t file_bytes,
                  double seconds,
                  const ModelInfo& info) {
  if (options.json) {
    return print_json({{"out", options.out},
                       {"form", note.messages.empty() ? "prompt" : "messages"},
                       {"tokens", document.tokens()},
                       {"file_bytes", file_bytes},
                       {"seconds", seconds},
                       {"kv", kv_json(document.kv(), false)},
                       {"notes", info.notes}});
  }
  print(fmt::format("{}: {} tokens, {}, KV {}, in {:.1f} s\n",
                    options.out,
                    document.tokens(),
                    format_bytes(file_bytes),
                    kv_summary(document.kv()),
                    seconds));
}

void make(const Options& options) {
  require_model(options.model);
  if (options.out.empty()) {
    throw InputError({.where = "OUT", .what = "is missing", .expected = "a file to write"});
  }
  check_one_source(options);
  if (options.cache.policy == "forced" || !options.cache.decisions_file.empty()) {
    throw InputError({.where = "--policy",
                      .what = "a document's file holds no decisions",
                      .got = "forced",
                      .expected = "a policy that needs no file"});
  }
  check_writable(options.out);
  const std::optional<ChatPrompt> chat = chat_prompt_of(options);
  const DocumentNote note = note_of(options, chat.has_value());
  ModelSource source(options.model, options.model_options);
  const int64_t most = source.check(options.cache).max_tokens;
  const std::vector<int32_t> ids = note.messages.empty()
                                       ? ids_of(options, source, most)
                                       : beginning_of(note.messages, *chat, source, most);
  source.check_prompt(ids, most - 1);  // there must be room for a question
  note_idle_adapter(options.model_options.adapter, {&options.cache, 1}, source.info());
  LLM llm = load_model(std::move(source), options.model, options.json);
  const auto start = std::chrono::steady_clock::now();
  ProgressLine progress("prefill");
  const Document document = llm.make_document(ids, options.cache, progress.callback());
  progress.wipe();
  const double seconds = seconds_since(start);
  const int64_t bytes = document.save(options.out, write_note(note));
  print_result(options, document, note, bytes, seconds, llm.info());
}

CommandBody define(CLI::App& app) {
  auto options = std::make_shared<Options>();
  add_model_folder(app, options->model);
  add_argument(app, "OUT", options->out, "File to write, as NAME.dmsdoc");
  add_input_file(app,
                 "--text-file",
                 options->text_file,
                 "A text: a system message,\nor a prompt where the model has no template");
  add_input_file(app,
                 "--messages",
                 options->messages_file,
                 "What conversations begin with,\na JSON array of messages");
  add_input_file(app, "--prompt-file", options->prompt.text_file, "What prompts begin with");
  add_input_file(app, "--ids", options->prompt.ids_file, "The same as token ids, a JSON array");
  add_input_file(app,
                 "--template",
                 options->chat_template,
                 "A Jinja chat template, or 'plain'\n(default: the model's own)");
  add_flag(app, "--json", options->json, "Print one JSON object");
  add_cache_options(app, options->cache);
  add_model_options(app, options->model_options);
  return [options] { make(*options); };
}

}  // namespace

Command document_command() {
  return {.name = "document",
          .summary = "Compress what many conversations begin with, once, into a file",
          .examples =
              "  dms document MODEL book.dmsdoc --text-file book.txt \\\n"
              "      --policy snapkv --policy-args compression_ratio=0.75\n"
              "  dms chat MODEL --document book.dmsdoc\n"
              "  dms document models/demo night.dmsdoc --prompt-file night.txt\n",
          .define = define};
}

}  // namespace dms::cli
