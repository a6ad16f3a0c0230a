#include "cli/chat_loop.h"

#include <algorithm>
#include <new>

#include <fmt/format.h>

#include "base/output_file.h"
#include "cli/input.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "dms/error.h"

namespace dms::cli {
namespace {

constexpr const char* kHelp =
    "/help             these lines\n"
    "/read FILE [TEXT] ask about a file: its text, then TEXT\n"
    "/reset            forget the conversation\n"
    "/undo             forget the last question and its answer\n"
    "/stats            tokens, memory and speed\n"
    "/save FILE        write the conversation as JSON\n"
    "/exit             leave (as does Ctrl-D)\n"
    "\"\"\"               begins a question of several lines, and ends it\n"
    "\\                 at a line's end: the question goes on\n"
    "Ctrl-C stops an answer, or clears the line.\n";

/// Ctrl-C while something is computed that no word comes of.
struct Stopped {};

/// A line for who watches, on the terminal's own channel.
void tell(const std::string& text) {
  if (stderr_is_terminal()) fmt::print(stderr, "{}\n", text);
}

bool is_blank(const std::string& text) {
  return text.find_first_not_of(" \t\n") == std::string::npos;
}

std::string trimmed(const std::string& text) {
  const size_t begin = std::min(text.find_first_not_of(" \t\n"), text.size());
  return text.substr(begin, text.find_last_not_of(" \t\n") + 1 - begin);
}

}  // namespace

ChatLoop::ChatLoop(LLM& llm,
                   const ChatPrompt& prompt,
                   const CacheOptions& cache,
                   const SamplingParams& sampling,
                   const std::string& system)
    : llm_(llm), sampling_(sampling), talk_(llm, prompt, cache, system) {
  for (const std::string& stop : prompt.stops()) sampling_.stop.push_back(stop);
  if (input_.is_interactive()) interrupt_.emplace();
}

void ChatLoop::run() {
  if (input_.is_interactive()) tell("Type a message, or /help.");
  for (Next next = Next::kGoOn; next == Next::kGoOn;) {
    try {
      const Reading reading = input_.read();
      if (interrupt_) interrupt_->clear();
      next = handle(reading);
    } catch (const Error& error) {
      if (!input_.is_interactive()) throw;
      print_error(error);
    } catch (const std::bad_alloc&) {
      if (!input_.is_interactive()) throw;
      print_error(out_of_memory());
    }
  }
}

ChatLoop::Next ChatLoop::handle(const Reading& reading) {
  if (reading.kind == Reading::Kind::kInterrupt) return handle_interrupt(reading);
  asked_to_leave_ = false;
  if (reading.kind == Reading::Kind::kEnd) {
    if (input_.is_interactive()) tell("");
    return Next::kLeave;
  }
  Next next = Next::kGoOn;
  if (is_blank(reading.text)) return next;
  const bool may_be_command = !reading.quoted && reading.text.starts_with('/');
  if (!may_be_command || !obey(reading.text, next)) answer(reading.text);
  return next;
}

ChatLoop::Next ChatLoop::handle_interrupt(const Reading& reading) {
  if (!reading.text.empty()) {
    asked_to_leave_ = false;
    return Next::kGoOn;
  }
  const bool has_said = !talk_.messages().empty() && talk_.messages().back().role != "system";
  if (asked_to_leave_ || !has_said) return Next::kLeave;
  asked_to_leave_ = true;
  tell("Ctrl-C again, or Ctrl-D, leaves and forgets the conversation; /save FILE keeps it.");
  return Next::kGoOn;
}

bool ChatLoop::obey(const std::string& line, Next& next) {
  std::string argument = line;
  const std::string name = take_word(argument);
  if (name == "/exit" || name == "/quit") {
    next = Next::kLeave;
  } else if (name == "/help") {
    print_now(kHelp);
  } else if (name == "/reset") {
    talk_.reset();
    print_now("forgotten\n");
  } else if (name == "/undo") {
    print_now(talk_.undo() ? "last question and answer forgotten\n" : "nothing to undo\n");
  } else if (name == "/stats") {
    print_stats();
  } else if (name == "/save") {
    save(trimmed(argument));
  } else if (name == "/read") {
    read_and_answer(std::move(argument));
  } else {
    return false;
  }
  return true;
}

void ChatLoop::answer(const std::string& question) {
  ProgressLine progress("prefill");
  bool begun = false;
  const auto show = [&](std::string_view piece) {
    progress.wipe();
    if (!begun) piece.remove_prefix(std::min(piece.find_first_not_of(" \n"), piece.size()));
    begun = begun || !piece.empty();
    print_now(piece);
    return !is_stopped();
  };
  const auto advance = [&](int64_t done, int64_t total) {
    if (is_stopped()) throw Stopped();
    if (done > 0 && !begun) progress.update(done, total);
  };
  Generation result;
  try {
    result = talk_.say(question, sampling_, show, advance);
    progress.wipe();
    print_now(result.text.ends_with('\n') ? "" : "\n");
  } catch (const Stopped&) {
    progress.wipe();
    if (begun) print_now("\n");
    return tell("[stopped: the question is not part of the conversation]");
  } catch (...) {
    if (begun) print_now("\n");
    throw;
  }
  last_ = result.timings;
  note_end(result);
}

void ChatLoop::note_end(const Generation& result) const {
  if (!result.error.empty()) {
    throw RunError(
        {.what = result.error, .hint = "the answer so far is kept; /undo or /reset makes room"});
  }
  if (is_stopped()) return tell("[stopped]");
  if (result.finish_reason != "length") return;
  const int64_t context = llm_.info().context;
  if (context > 0 && talk_.session().tokens() >= context) {
    tell(fmt::format("[cut: the model's context of {} tokens is full; /undo or /reset makes room]",
                     context));
  } else {
    tell(fmt::format("[cut at {} tokens; --max-new-tokens raises it]", sampling_.max_new_tokens));
  }
}

void ChatLoop::read_and_answer(std::string argument) {
  const std::string path = expand_home(take_word(argument));
  if (path.empty()) {
    throw InputError({.where = "/read", .what = "needs a file", .hint = "/read FILE [TEXT]"});
  }
  std::string question = read_text(path);
  if (question.ends_with('\n')) question.pop_back();
  if (!argument.empty()) question += (question.empty() ? "" : "\n\n") + argument;
  if (is_blank(question)) throw InputError({.where = path, .what = "is empty"});
  answer(question);
}

void ChatLoop::print_stats() const {
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

void ChatLoop::save(const std::string& path) const {
  if (path.empty()) {
    throw InputError({.where = "/save", .what = "needs a file name", .hint = "/save FILE"});
  }
  OutputJson messages = OutputJson::array();
  for (const ChatMessage& message : talk_.messages()) {
    messages.push_back({{"role", message.role}, {"content", message.content}});
  }
  write_text_file(expand_home(path),
                  messages.dump(2, ' ', false, OutputJson::error_handler_t::replace) + "\n");
  print_now(fmt::format("{} messages written to {}\n", messages.size(), path));
}

}  // namespace dms::cli
