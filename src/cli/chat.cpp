// dms chat: a conversation in the terminal, or, in a pipe, one question a line.

#include <memory>
#include <utility>

#include <CLI/CLI.hpp>

#include "cli/chat_loop.h"
#include "cli/chat_options.h"
#include "cli/command.h"
#include "cli/options.h"
#include "cli/sampling_options.h"

namespace dms::cli {
namespace {

struct Options {
  std::string model;
  ChatOptions chat;
  ModelOptions model_options;
  CacheOptions cache;
  SamplingOptions sampling;
};

void chat(const Options& options) {
  require_model(options.model);
  const ChatPrompt prompt = ChatPrompt::make(options.model, options.chat);
  const CacheOptions cache = with_seekable_files(options.cache);
  ModelSource source(options.model, options.model_options);
  source.check(cache);
  const SamplingParams sampling = options.sampling.resolve(source.info());
  source.check(sampling);
  LLM llm = load_model(std::move(source), options.model);
  ChatLoop(llm, prompt, cache, sampling, options.chat.system).run();
}

CommandBody define(CLI::App& app) {
  auto options = std::make_shared<Options>();
  add_model_folder(app, options->model);
  add_chat_options(app, options->chat);
  add_sampling_options(app, options->sampling);
  add_cache_options(app, options->cache);
  add_model_options(app, options->model_options);
  return [options, &app] {
    check_standard_input(app, "the conversation");
    chat(*options);
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
              "  printf 'Hello\\nWho are you?\\n' | dms chat models/demo --template plain\n",
          .define = define};
}

}  // namespace dms::cli
