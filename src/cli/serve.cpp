// dms serve: answers requests of OpenAI's and Anthropic's APIs over HTTP.

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "base/available_memory.h"
#include "base/input_file.h"
#include "cli/adapter_use.h"
#include "cli/command.h"
#include "cli/input.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/outside_settings.h"
#include "cli/parse.h"
#include "cli/roofline.h"
#include "cli/text_table.h"
#include "serve/http/server.h"
#include "serve/own_origin.h"
#include "serve/served_model.h"

namespace dms::cli {
namespace {

constexpr int64_t kMostPort = 65535;
constexpr int64_t kMostSeconds = 7 * 24 * 3600;
constexpr int64_t kMostCount = 1'000'000;
constexpr int64_t kMostSlots = 4096;
constexpr int64_t kLeastKvMemory = int64_t{64} << 20;

struct Options {
  std::string model;
  ModelOptions model_options;
  CacheOptions cache;
  serve::ServedOptions served;
  std::string chat_template;
  serve::ServerSettings server;
  std::string api_key;
  std::string api_key_file;
  std::string config_file;
  std::string swap_folder;
  std::string documents;
  std::string slot_save_path;
  int64_t max_queue = 256;
  bool no_prefix_cache = false;
  bool no_access_log = false;
  bool no_page = false;
};

void add_seconds(CLI::App& app,
                 const std::string& name,
                 std::chrono::seconds& target,
                 int64_t least,
                 const std::string& help) {
  add_value(app, name, "S", help, [name, &target, least](const std::string& text) {
    target = std::chrono::seconds(parse_integer(name, text, least, kMostSeconds));
  });
}

void add_size(CLI::App& app, const std::string& name, int64_t& target, const std::string& help) {
  add_value(app, name, "SIZE", help, [name, &target](const std::string& text) {
    target = parse_bytes(name, text);
  });
}

void add_list(CLI::App& app,
              const std::string& name,
              std::vector<std::string>& target,
              const std::string& value_name,
              const std::string& help) {
  add_value(app, name, value_name, help, [name, &target](const std::string& text) {
    target = parse_list(name, text);
  });
}

void check_key(const std::string& where, const std::string& key) {
  if (!key.empty() && is_ascii_word(key)) return;
  throw InputError({.where = where, .what = "no key", .expected = "ASCII text without blanks"});
}

/// A key a line; blank lines and those that begin with '#' hold none.
std::vector<std::string> read_keys(const std::string& file) {
  constexpr int64_t kMaxBytes = int64_t{1} << 20;
  const std::string text = read_text_file(file, kMaxBytes);
  std::vector<std::string> keys;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string line = text.substr(begin, end - begin);
    begin = end + 1;
    if (line.ends_with('\r')) line.pop_back();
    if (line.empty() || line.front() == '#') continue;
    check_key(file, line);
    keys.push_back(std::move(line));
  }
  if (keys.empty()) throw InputError({.where = file, .what = "holds no key"});
  return keys;
}

void read_api_keys(Options& options) {
  std::vector<std::string>& keys = options.server.api_keys;
  if (!options.api_key_file.empty()) keys = read_keys(options.api_key_file);
  if (options.api_key.empty()) return;
  check_key("--api-key", options.api_key);
  keys.push_back(options.api_key);
}

/// Half of what the machine has left when the weights are in.
int64_t default_kv_memory(const ModelInfo& info) {
  const auto weights = static_cast<int64_t>(weight_bytes(info));
  return std::max((available_memory() - weights) / 2, kLeastKvMemory);
}

void require_folder(const char* option, const std::filesystem::path& folder) {
  if (folder.empty() || std::filesystem::is_directory(folder)) return;
  throw InputError({.where = option, .what = "is no folder", .got = folder.string()});
}

/// Clients name what lies in each: a slot that is saved may not take a document's file.
void require_two_folders(const std::filesystem::path& documents,
                         const std::filesystem::path& slots) {
  if (documents.empty() || slots.empty()) return;
  if (!std::filesystem::equivalent(documents, slots)) return;
  throw InputError({.where = "--slot-save-path",
                    .what = "is the folder of --documents",
                    .got = slots.string(),
                    .expected = "another folder"});
}

/// A quarter of the memory for documents, and as much for slots, where nothing else was said.
void set_kept_caches(Options& options) {
  constexpr int64_t kShare = 4;
  serve::DocumentSettings& documents = options.server.documents;
  serve::SlotSettings& slots = options.server.slots;
  documents.folder = options.documents;
  slots.folder = options.slot_save_path;
  require_folder("--documents", documents.folder);
  require_folder("--slot-save-path", slots.folder);
  require_two_folders(documents.folder, slots.folder);
  const int64_t share = options.model_options.kv_memory_bytes / kShare;
  if (documents.memory_bytes == 0) documents.memory_bytes = share;
  if (slots.memory_bytes == 0) slots.memory_bytes = share;
  options.served.slots = slots.count;
}

/// "plain", or a file; nothing: the model's own.
std::optional<serve::GivenTemplate> given_template(const std::string& choice) {
  if (choice.empty()) return std::nullopt;
  if (choice == "plain") return serve::plain_template();
  return serve::GivenTemplate{.text = read_text(choice), .name = choice};
}

void note_open_doors(const serve::ServerSettings& settings) {
  const bool is_local =
      settings.host == "localhost" || settings.host == "::1" || settings.host.starts_with("127.");
  if (is_local || !settings.api_keys.empty()) return;
  note("without --api-key everybody who reaches " + settings.host + " may ask");
}

void serve(Options options) {
  require_model(options.model);
  read_api_keys(options);
  serve::check_host_names(options.server.allowed_hosts);
  ModelOptions& model_options = options.model_options;
  model_options.metadata_scope = MetadataScope::folder_only;  // nothing outside of it is served
  model_options.max_step_tokens =
      std::max(model_options.max_step_tokens, model_options.chunk_tokens);
  model_options.swap_folder = options.swap_folder;
  if (model_options.kv_memory_bytes == 0) {
    model_options.kv_memory_bytes =
        default_kv_memory(ModelSource(options.model, model_options).info());
  }
  model_options.prefix_cache = !options.no_prefix_cache;
  set_kept_caches(options);
  options.server.most_answers = model_options.max_sequences + options.max_queue;
  options.server.access_log = !options.no_access_log;
  options.server.page = !options.no_page;
  options.server.version = DMS_VERSION;
  options.served.folder = options.model;
  options.served.chat_template = given_template(options.chat_template);
  const CacheOptions cache = with_seekable_files(options.cache);
  auto source = std::make_shared<ModelSource>(options.model, model_options);
  source->check(cache);
  const serve::ServedModel model = serve::describe_model(*source, cache, options.served);
  note_idle_adapter(model_options.adapter, {&cache, 1}, source->info());
  note_open_doors(options.server);
  serve::run_server(options.server,
                    model,
                    [source] { return LLM(std::move(*source)); },
                    {.on_listening = [](const std::string& url) { note("listening on " + url); },
                     .on_ready =
                         [&](const LLM& llm) {
                           print_notes(llm.info());
                           note(fmt::format("ready: {} with {} for KV caches",
                                            model.facts.names.front(),
                                            format_bytes(model_options.kv_memory_bytes)));
                         },
                     .on_notice = [](const std::string& text) { note(text); }});
}

void add_server_options(CLI::App& app, Options& options) {
  serve::ServerSettings& server = options.server;
  const OptionGroup group(app, "Server");
  add_text(app, "--host", server.host, "ADDRESS", "Where to listen (default 127.0.0.1)");
  add_integer(app, "--port", server.port, 0, kMostPort, "Default 8000; 0: any that is free");
  add_text(app, "--api-key", options.api_key, "KEY", "Clients must send it (better: DMS_API_KEY)");
  add_text(app, "--api-key-file", options.api_key_file, "F", "A key a line");
  add_list(app,
           "--served-model-name",
           options.served.names,
           "NAME,...",
           "What clients call the model\n(default: the folder's name)");
  add_text(app,
           "--template",
           options.chat_template,
           "F",
           "A Jinja chat template, or 'plain'\n(default: the model's own)");
  add_text(app,
           "--tool-parser",
           options.served.tool_parser,
           "NAME",
           "How the model writes calls of tools, as hermes,\nllama3_json or mistral; 'none': calls "
           "stay text\n(default: by the look of the template)");
  add_list(app,
           "--allow-origin",
           server.allowed_origins,
           "ORIGIN,...",
           "Web pages that may ask, as https://example.org");
  add_list(app,
           "--allowed-host",
           server.allowed_hosts,
           "NAME,...",
           "Names that clients call the server by,\nwhere no key is asked for; '*': any");
  add_text(app, "--config", options.config_file, "F", "More options, as NAME: VALUE lines");
  add_flag(app, "--no-page", options.no_page, "No page for browsers at /");
  add_flag(app, "--no-access-log", options.no_access_log, "No line for each request");
  add_seconds(app,
              "--drain-timeout",
              server.drain_timeout,
              0,
              "For running requests at the end (default 30)");
}

void add_limit_options(CLI::App& app, Options& options) {
  serve::ServerSettings& server = options.server;
  const OptionGroup group(app, "Limits");
  add_integer(
      app, "--max-queue", options.max_queue, 0, kMostCount, "Answers that may wait (default 256)");
  add_integer(app,
              "--max-n",
              options.served.limits.answers,
              1,
              kMostCount,
              "Answers of one request (default 16)");
  add_size(app, "--max-body", server.max_body_bytes, "Of one request (default 16MiB)");
  add_size(app,
           "--max-unread",
           server.max_unread_bytes,
           "Of a stream before its slow reader is\ngiven up (default 1MiB)");
  add_integer(app,
              "--max-connections",
              server.max_connections,
              1,
              kMostCount,
              "Open at once (default 4096)");
  add_seconds(
      app, "--read-timeout", server.read_timeout, 1, "For a request to come in (default 30)");
  add_seconds(
      app, "--request-timeout", server.request_timeout, 0, "For its answer (default 0: none)");
}

void add_engine_options(CLI::App& app, Options& options) {
  ModelOptions& model = options.model_options;
  const OptionGroup group(app, "Scheduling");
  add_integer(app,
              "--max-batch-tokens",
              model.max_step_tokens,
              1,
              kMostCount,
              "Prompt tokens of one pass (default 512)");
  add_integer(app,
              "--max-sequences",
              model.max_sequences,
              1,
              kMostCount,
              "Answers computed at once (default 64)");
  add_size(app, "--swap-space", model.swap_bytes, "For caches of those who must wait");
  add_text(app, "--swap-folder", options.swap_folder, "DIR", "Where (default: in memory)");
  add_integer(app,
              "--speculate",
              options.served.speculate,
              0,
              kMostSpeculated,
              "Tokens guessed ahead of an answer, where its\nrequest says nothing (default 0)");
  add_flag(app,
           "--strip-agent-headers",
           options.served.strip_agent_headers,
           "Leave out lines of system prompts by which\nagents make every prompt another");
  add_flag(app, "--no-prefix-cache", options.no_prefix_cache, "Share no beginnings of prompts");
}

void add_kept_options(CLI::App& app, Options& options) {
  serve::ServerSettings& server = options.server;
  const OptionGroup group(app, "Kept caches");
  add_text(app,
           "--documents",
           options.documents,
           "DIR",
           "Where named documents are kept\n(default: in memory alone)");
  add_integer(app, "--max-documents", server.documents.most, 0, kMostCount, "Default 64");
  add_size(app,
           "--document-memory",
           server.documents.memory_bytes,
           "For those in memory\n(default: a quarter of --kv-memory)");
  add_integer(app,
              "--slots",
              server.slots.count,
              0,
              kMostSlots,
              "Caches that stay for id_slot (default 8)");
  add_size(app,
           "--slot-memory",
           server.slots.memory_bytes,
           "For all of them\n(default: a quarter of --kv-memory)");
  add_text(app,
           "--slot-save-path",
           options.slot_save_path,
           "DIR",
           "Where slots are saved to and restored from\n(default: nowhere)");
}

CommandBody define(CLI::App& app) {
  auto options = std::make_shared<Options>();
  add_model_folder(app, options->model);
  add_server_options(app, *options);
  add_limit_options(app, *options);
  add_engine_options(app, *options);
  add_kept_options(app, *options);
  add_cache_options(app, options->cache);
  add_model_options(app, options->model_options);
  add_draft(app, options->model_options.draft);
  return [options, &app] {
    read_outside_settings(app, options->config_file);
    serve(*options);
  };
}

}  // namespace

Command serve_command() {
  return {.name = "serve",
          .summary = "Answer requests of OpenAI's and Anthropic's APIs over HTTP",
          .examples =
              "  dms serve models/demo --port 8000 --template plain\n"
              "  DMS_API_KEY=secret dms serve MODEL --host 0.0.0.0 --kv-memory 8GiB\n"
              "  dms serve MODEL --policy streaming --policy-args start_size=4,recent_size=1024\n"
              "  dms serve --config serve.yaml\n",
          .define = define};
}

}  // namespace dms::cli
