// dms chat: a conversation in the terminal, or, in a pipe, one question a line.

#include <array>
#include <memory>
#include <utility>

#include "base/file_status.h"
#include "cli/adapter_use.h"
#include "cli/chat_document.h"
#include "cli/chat_loop.h"
#include "cli/chat_options.h"
#include "cli/command.h"
#include "cli/local_conversation.h"
#include "cli/options.h"
#include "cli/remote_chat.h"
#include "cli/sampling_options.h"
#include "dms/error.h"

namespace dms::cli {
namespace {

struct Options {
  std::string model;
  ServerOptions server;
  ChatOptions chat;
  ModelOptions model_options;
  CacheOptions cache;
  SamplingOptions sampling;
  std::string load;      // a conversation to go on with; empty: a new one
  std::string document;  // that conversations go on from; empty: none
};

/// How a conversation begins, and its cache is kept, is the document's then.
void check_document(const CLI::App& app, const Options& options) {
  constexpr std::array kDocuments{"--system",
                                  "--load",
                                  "--policy",
                                  "--policy-args",
                                  "--decisions",
                                  "--window",
                                  "--kv-dtype",
                                  "--kv-exact-layers",
                                  "--preallocate"};
  if (!is_given(app, "--document")) return;
  if (options.document.empty()) throw InputError({.where = "--document", .what = "is empty"});
  for (const char* name : kDocuments) {
    if (!is_given(app, name)) continue;
    throw InputError({.where = name, .what = "cannot be chosen with --document: it has its own"});
  }
  if (options.server.url.empty() && !is_file(options.document)) {
    throw InputError({.where = options.document, .what = "no such file"});
  }
}

std::unique_ptr<LocalConversation> begin(LLM& llm,
                                         const ChatPrompt& prompt,
                                         const CacheOptions& cache,
                                         const Options& options) {
  if (!options.document.empty()) {
    return std::make_unique<LocalConversation>(
        llm, prompt, read_chat_document(llm, options.document));
  }
  return std::make_unique<LocalConversation>(llm, prompt, cache, options.chat.system);
}

void chat(const Options& options) {
  require_model(options.model);
  const ChatPrompt prompt = ChatPrompt::make(options.model, options.chat);
  const CacheOptions cache = with_seekable_files(options.cache);
  ModelSource source(options.model, options.model_options);
  source.check(cache);
  SamplingParams sampling = options.sampling.resolve(source.info());
  source.check(sampling);
  check_draft(options.model_options, sampling);
  note_idle_adapter(options.model_options.adapter, {&cache, 1}, source.info());
  LLM llm = load_model(std::move(source), options.model);
  for (const std::string& stop : prompt.stops()) sampling.stop.push_back(stop);
  const auto talk = begin(llm, prompt, cache, options);
  if (!options.load.empty()) talk->load(options.load);
  ChatLoop(*talk, sampling).run();
}

CommandBody define(CLI::App& app) {
  auto options = std::make_shared<Options>();
  add_model_folder(app, options->model);
  add_server_options(app, options->server);
  add_chat_options(app, options->chat);
  add_text(app, "--load", options->load, "FILE", "Go on with what /save wrote");
  add_text(app,
           "--document",
           options->document,
           "FILE",
           "Begin with what dms document wrote;\nwith --url: the name of one of the server's");
  add_sampling_options(app, options->sampling);
  add_cache_options(app, options->cache);
  add_model_options(app, options->model_options);
  add_draft(app, options->model_options.draft);
  return [options, &app] {
    check_standard_input(app, "the conversation");
    check_server_options(app, options->server);
    check_document(app, *options);
    if (options->server.url.empty()) return chat(*options);
    chat_with_server(options->server,
                     options->sampling,
                     options->cache,
                     options->chat,
                     {.load = options->load, .document = options->document});
  };
}

}  // namespace

Command chat_command() {
  return {.name = "chat",
          .summary = "Talk with a model in the terminal",
          .examples =
              "  dms chat MODEL\n"
              "  dms chat MODEL --system 'Be brief.' --temperature 0.7 -n 512\n"
              "  dms chat MODEL --template-arg enable_thinking=false\n"
              "  dms chat MODEL --load talk\n"
              "  dms chat MODEL --document book.dmsdoc\n"
              "  dms chat --url http://127.0.0.1:8000 --system 'Be brief.'\n"
              "  printf 'Hello\\nWho are you?\\n' | dms chat models/demo --template plain\n",
          .define = define};
}

}  // namespace dms::cli
