// dms chat: a conversation in the terminal, or, in a pipe, one question a line.

#include <csignal>
#include <fstream>
#include <iostream>
#include <memory>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "cli/command.h"
#include "cli/conversation.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "dms/error.h"

namespace dms::cli {
namespace {

struct Options {
  std::string model;
  std::string chat_template;
  std::string system;
  ModelOptions model_options;
  CacheOptions cache;
  SamplingParams sampling;
};

constexpr const char* kHelp =
    "/help        these lines\n"
    "/reset       forget the conversation\n"
    "/undo        forget the last question and its answer\n"
    "/stats       tokens, memory and speed\n"
    "/save FILE   write the conversation as JSON\n"
    "/exit        leave (as does the end of input)\n"
    "Ctrl-C stops an answer.\n";

volatile std::sig_atomic_t g_interrupted = 0;  // a signal handler reaches nothing but a global

/// While it lives, Ctrl-C sets a flag; a second one ends the program as usual.
class InterruptFlag {
 public:
  InterruptFlag() {
    g_interrupted = 0;
    struct sigaction action {};
    action.sa_handler = [](int) { g_interrupted = 1; };
    action.sa_flags = SA_RESTART | static_cast<int>(SA_RESETHAND);
    sigaction(SIGINT, &action, &before_);
  }
  ~InterruptFlag() { sigaction(SIGINT, &before_, nullptr); }
  InterruptFlag(const InterruptFlag&) = delete;
  InterruptFlag& operator=(const InterruptFlag&) = delete;

  bool is_set() const { return g_interrupted != 0; }

 private:
  struct sigaction before_ {};
};

class Chat {
 public:
  Chat(LLM& llm, const ChatPrompt& prompt, const Options& options)
      : sampling_(options.sampling), talk_(llm, prompt, options.cache, options.system) {
    for (const std::string& stop : prompt.stops()) sampling_.stop.push_back(stop);
  }

  void run();

 private:
  /// False: leave.
  bool obey(const std::string& line);
  void answer(const std::string& question);
  void print_stats() const;
  void save(const std::string& path) const;

  SamplingParams sampling_;
  Conversation talk_;
  Timings last_;
  bool interactive_ = stdin_is_terminal();
};

void Chat::answer(const std::string& question) {
  const InterruptFlag interrupt;
  ProgressLine progress("prefill");
  bool begun = false;
  const auto show = [&](std::string_view piece) {
    progress.wipe();
    if (!begun) piece.remove_prefix(std::min(piece.find_first_not_of(" \n"), piece.size()));
    begun = begun || !piece.empty();
    print_now(piece);
    return !interrupt.is_set();
  };
  const Generation result = talk_.say(question, sampling_, show, progress.callback());
  last_ = result.timings;
  print_now(result.text.ends_with('\n') ? "" : "\n");
}

void Chat::print_stats() const {
  const KvStats kv = talk_.session().kv();
  print_now(
      fmt::format("{} messages, {} tokens in the cache\nKV {}\n"
                  "last turn: prefill {} tokens, {:.1f} tok/s; decode {} tokens, {:.1f} tok/s\n",
                  talk_.messages().size(),
                  talk_.session().tokens(),
                  kv_summary(kv),
                  last_.prefill_tokens,
                  last_.prefill_tok_s(),
                  last_.decode_tokens,
                  last_.decode_tok_s()));
}

void Chat::save(const std::string& path) const {
  OutputJson messages = OutputJson::array();
  for (const Message& message : talk_.messages()) {
    messages.push_back({{"role", message.role}, {"content", message.content}});
  }
  std::ofstream file(path);
  file << messages.dump(2, ' ', false, OutputJson::error_handler_t::replace) << "\n";
  file.close();
  if (!file) {
    throw InputError({.where = "/save",
                      .what = "cannot write",
                      .got = fmt::format("'{}'", path),
                      .expected = "a file that can be written"});
  }
  print_now(fmt::format("{} messages written to {}\n", messages.size(), path));
}

bool Chat::obey(const std::string& line) {
  const std::string name = line.substr(0, line.find(' '));
  const std::string argument = line.size() > name.size() ? line.substr(name.size() + 1) : "";
  if (name == "/exit" || name == "/quit") return false;
  if (name == "/help") {
    print_now(kHelp);
  } else if (name == "/reset") {
    talk_.reset();
    print_now("forgotten\n");
  } else if (name == "/undo") {
    print_now(talk_.undo() ? "last question and answer forgotten\n" : "nothing to undo\n");
  } else if (name == "/stats") {
    print_stats();
  } else if (name == "/save") {
    save(argument);
  } else {
    throw InputError({.where = name, .what = "unknown command", .hint = "/help lists them"});
  }
  return true;
}

void Chat::run() {
  if (interactive_) print_now("Type a message, or /help.\n");
  for (std::string line; true;) {
    if (interactive_) print_now("> ");
    if (!std::getline(std::cin, line)) break;
    if (line.ends_with('\r')) line.pop_back();
    if (line.find_first_not_of(" \t") == std::string::npos) continue;
    try {
      if (line.starts_with('/')) {
        if (!obey(line)) return;
      } else {
        answer(line);
      }
    } catch (const Error& error) {
      if (!interactive_) throw;
      fmt::print(stderr, "dms: error: {}\n", error.what());
    }
  }
  if (interactive_) print_now("\n");
}

void chat(const Options& options) {
  require_model(options.model);
  const ChatPrompt prompt = ChatPrompt::make(options.model, options.chat_template);
  LLM llm = open_model(options.model, options.model_options);
  Chat(llm, prompt, options).run();
}

CommandBody define(CLI::App& app) {
  auto options = std::make_shared<Options>();
  add_model_folder(app, options->model);
  add_text(app, "--system", options->system, "TEXT", "A system message");
  add_text(app,
           "--template",
           options->chat_template,
           "F",
           "A Jinja chat template, or 'plain' (default: the model's own)");
  add_sampling_options(app, options->sampling);
  add_cache_options(app, options->cache);
  add_model_options(app, options->model_options);
  return [options] { chat(*options); };
}

}  // namespace

Command chat_command() {
  return {.name = "chat",
          .summary = "Talk with a model in the terminal",
          .examples =
              "  dms chat models/demo --template plain\n"
              "  dms chat models/demo --template plain --system 'Be brief.' --temperature "
              "0.7\n"
              "  printf 'Hello\\nWho are you?\\n' | dms chat models/demo --template plain\n",
          .define = define};
}

}  // namespace dms::cli
