#pragma once
// The conversation loop of `dms chat`: reads questions and commands, prints answers.

#include <functional>
#include <optional>
#include <string>

#include "cli/chat_commands.h"
#include "cli/chat_input.h"
#include "cli/conversation.h"
#include "cli/interrupt_flag.h"

namespace dms::cli {

class ChatLoop {
 public:
  /// `talk` must outlive this.
  ChatLoop(Conversation& talk, const SamplingParams& sampling);

  /// Until the user leaves or the input ends. In a pipe the first error ends it.
  void run();

 private:
  enum class Next { kGoOn, kLeave };

  Next handle(const Reading& reading);
  Next handle_interrupt(const Reading& reading);
  void obey(ChatLine line);
  void say(const std::string& question);
  void retry();
  /// Shows the answer that `ask` gets; `when_stopped` says what becomes of one that has no word.
  void answer(const std::function<Generation(const TextSink&, const Progress&)>& ask,
              const std::string& when_stopped);
  void read_and_say(std::string argument);
  void print_stats() const;
  void save(const std::string& path);
  void load(const std::string& path);
  /// What ended an answer early, for those who watch. Throws RunError where a failure did.
  void note_end(const Generation& result) const;
  bool is_stopped() const { return interrupt_ && interrupt_->is_set(); }

  Conversation& talk_;
  const SamplingParams sampling_;
  ChatInput input_;
  // From one prompt to the next nothing but an answer is there to be stopped; in a pipe Ctrl-C ends
  // the program.
  std::optional<InterruptFlag> interrupt_;
  Timings last_;
  bool asked_to_leave_ = false;
};

}  // namespace dms::cli
