#include "cli/chat_loop.h"

#include <algorithm>
#include <new>

#include <fmt/format.h>

#include "cli/input.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "dms/error.h"

namespace dms::cli {
namespace {

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

ChatLoop::ChatLoop(Conversation& talk, const SamplingParams& sampling)
    : talk_(talk), sampling_(sampling) {
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
  if (is_blank(reading.text)) return Next::kGoOn;
  ChatLine line =
      reading.quoted ? ChatLine{.argument = reading.text} : parse_chat_line(reading.text);
  if (line.verb == ChatVerb::kExit) return Next::kLeave;
  obey(std::move(line));
  return Next::kGoOn;
}

ChatLoop::Next ChatLoop::handle_interrupt(const Reading& reading) {
  if (!reading.text.empty()) {
    asked_to_leave_ = false;
    return Next::kGoOn;
  }
  if (asked_to_leave_ || !talk_.has_answer()) return Next::kLeave;
  asked_to_leave_ = true;
  tell("Ctrl-C again, or Ctrl-D, leaves and forgets the conversation; /save FILE keeps it.");
  return Next::kGoOn;
}

void ChatLoop::obey(ChatLine line) {
  switch (line.verb) {
    case ChatVerb::kSay:
      return say(line.argument);
    case ChatVerb::kHelp:
      return print_now(chat_help(talk_.has_cache()));
    case ChatVerb::kReset:
      talk_.reset();
      return print_now("forgotten\n");
    case ChatVerb::kUndo:
      return print_now(talk_.undo() ? "last question and answer forgotten\n" : "nothing to undo\n");
    case ChatVerb::kRetry:
      return retry();
    case ChatVerb::kStats:
      return print_stats();
    case ChatVerb::kSave:
      return save(trimmed(line.argument));
    case ChatVerb::kLoad:
      return load(trimmed(line.argument));
    case ChatVerb::kRead:
      return read_and_say(std::move(line.argument));
    case ChatVerb::kExit:
      return;
  }
}

void ChatLoop::say(const std::string& question) {
  answer([&](const TextSink& show,
             const Progress& advance) { return talk_.say(question, sampling_, show, advance); },
         "[stopped: the question is not part of the conversation]");
}

void ChatLoop::retry() {
  if (!talk_.has_answer()) return print_now("nothing to answer again\n");
  if (sampling_.temperature == 0) tell("[at temperature 0 the answer is always the same]");
  answer([&](const TextSink& show,
             const Progress& advance) { return talk_.retry(sampling_, show, advance); },
         "[stopped: the earlier answer stays]");
}

void ChatLoop::answer(const std::function<Generation(const TextSink&, const Progress&)>& ask,
                      const std::string& when_stopped) {
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
    result = ask(show, advance);
    progress.wipe();
    print_now(result.text.ends_with('\n') ? "" : "\n");
  } catch (const Stopped&) {
    progress.wipe();
    if (begun) print_now("\n");
    return tell(when_stopped);
  } catch (...) {
    if (begun) print_now("\n");
    throw;
  }
  last_ = result.timings;
  note_end(result);
}

void ChatLoop::note_end(const Generation& result) const {
  if (!result.error.empty()) {
    const char* room = talk_.has_cache() ? "; /undo or /reset makes room" : "";
    throw RunError(
        {.what = result.error, .hint = fmt::format("the answer so far is kept{}", room)});
  }
  if (is_stopped()) return tell("[stopped]");
  if (result.finish_reason != "length") return;
  if (const std::string full = talk_.what_is_full(); !full.empty()) {
    tell(fmt::format("[cut: {} is full; /undo or /reset makes room]", full));
  } else {
    tell(fmt::format("[cut at {} tokens; --max-new-tokens raises it]", sampling_.max_new_tokens));
  }
}

void ChatLoop::read_and_say(std::string argument) {
  const std::string path = expand_home(take_word(argument));
  if (path.empty()) {
    throw InputError({.where = "/read", .what = "needs a file", .hint = "/read FILE [TEXT]"});
  }
  if (is_standard_input(path)) {
    throw InputError({.where = "/read", .what = "standard input is the conversation"});
  }
  std::string question = read_text(path);
  if (question.ends_with('\n')) question.pop_back();
  if (!argument.empty()) question += (question.empty() ? "" : "\n\n") + argument;
  if (is_blank(question)) throw InputError({.where = path, .what = "is empty"});
  say(question);
}

void ChatLoop::print_stats() const {
  const auto speed = [](const char* label, const Timings& timings) {
    return fmt::format("{}: prefill {} tokens, {:.1f} tok/s; decode {} tokens, {:.1f} tok/s\n",
                       label,
                       timings.prefill_tokens,
                       timings.prefill_tok_s(),
                       timings.decode_tokens,
                       timings.decode_tok_s());
  };
  print_now(
      fmt::format(
          "{} messages, {}\nKV {}\n", talk_.messages().size(), talk_.holdings(), talk_.memory()) +
      speed("last turn", last_) + speed("all turns", talk_.timings()));
}

void ChatLoop::save(const std::string& path) {
  if (path.empty()) {
    throw InputError({.where = "/save", .what = "needs a file name", .hint = "/save FILE"});
  }
  talk_.save(expand_home(path));
  print_now(fmt::format("{} messages written to {}\n", talk_.messages().size(), path));
}

void ChatLoop::load(const std::string& path) {
  if (path.empty()) {
    throw InputError({.where = "/load", .what = "needs a file name", .hint = "/load FILE"});
  }
  talk_.load(expand_home(path));
  print_now(fmt::format(
      "{} messages read from {}, {}\n", talk_.messages().size(), path, talk_.holdings()));
}

}  // namespace dms::cli
