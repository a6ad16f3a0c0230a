// Programs that filter, and those that do not.

#include "base/filter_process.h"

#include <csignal>
#include <stdexcept>
#include <vector>

#include <gtest/gtest.h>

#include "support/errors.h"
#include "support/temp_folder.h"

namespace dms {
namespace {

using Milliseconds = std::chrono::milliseconds;

constexpr FilterLimits kPatient{.silence = std::chrono::hours(1), .output_bytes = 1 << 24};

std::string filtered(const std::vector<std::string>& command,
                     const std::string& input,
                     const FilterLimits& limits = kPatient) {
  std::signal(SIGPIPE, SIG_IGN);
  return run_filter("--filter", command, input, limits, [] {});
}

std::string shell_filtered(const std::string& script,
                           const std::string& input,
                           const FilterLimits& limits = kPatient) {
  return filtered({"sh", "-c", script}, input, limits);
}

std::string refusal(const std::string& script, const FilterLimits& limits = kPatient) {
  return testing_support::input_error([&] { shell_filtered(script, "a\n", limits); });
}

/// More than two pipes hold.
std::string much() {
  std::string text;
  for (int i = 0; i < 60'000; ++i) text += std::to_string(i) + '\n';
  return text;
}

TEST(FilterProcess, PassesTextWhateverThePipesHold) {
  const std::string text = much();
  EXPECT_EQ(filtered({"cat"}, text), text);
  // One that reads everything before it writes, and one that also complains all the time.
  EXPECT_EQ(shell_filtered("text=$(cat); echo \"$text\"", text), text);
  EXPECT_EQ(shell_filtered("while read line; do echo $line; echo $line >&2; done", text), text);
  EXPECT_EQ(filtered({"cat"}, ""), "");
}

TEST(FilterProcess, WordsAreNoScript) {
  EXPECT_EQ(filtered({"printf", "%s|", "a b", "$HOME", ""}, ""), "a b|$HOME||");
}

TEST(FilterProcess, ReadingLessIsNoFailure) {
  EXPECT_EQ(shell_filtered("head -n 1", much()), "0\n");
  EXPECT_EQ(shell_filtered("exec 0<&-; echo x", much()), "x\n");
}

TEST(FilterProcess, SignalsThatWeIgnoreAreUsualThere) {
  const std::string ignored = shell_filtered("grep SigIgn /proc/self/status", "");
  const auto signals = std::stoull(ignored.substr(ignored.find(':') + 1), nullptr, 16);
  EXPECT_EQ(signals >> (SIGPIPE - 1) & 1, 0u) << ignored;
}

TEST(FilterProcess, SaysHowItFailed) {
  const std::string missing = testing_support::input_error([] {
    filtered({"no-such-program", "x"}, "");
  });
  testing_support::expect_parts(missing,
                                {"--filter: cannot be started: No such file", "no-such-program"});
  testing_support::expect_parts(refusal("echo one >&2; printf 'two\\033\\n' >&2; exit 3"),
                                {"--filter: failed with status 3 (got two\\u001b)"});
  testing_support::expect_parts(refusal("kill -9 $$"), {"was ended by signal 9"});
}

TEST(FilterProcess, WhatNeverEndsIsEnded) {
  const FilterLimits limits{.silence = Milliseconds(300), .output_bytes = 1 << 20};
  testing_support::expect_parts(refusal("sleep 100000", limits), {"has neither read nor written"});
  testing_support::expect_parts(refusal("yes"), {"writes far more"});
  // Its complaints are no sign of life.
  testing_support::expect_parts(refusal("yes >&2", limits), {"has neither read nor written"});
}

TEST(FilterProcess, OneThatClosesItsOutputMustEndToo) {
  std::string refused;
  // A busy machine may not have started it yet when the first limit is over.
  for (Milliseconds silence(300); silence < std::chrono::minutes(5); silence *= 2) {
    refused = refusal("exec 1>&-; sleep 100000", {.silence = silence, .output_bytes = 1});
    if (refused.find("neither") == std::string::npos) break;
  }
  testing_support::expect_parts(refused, {"has closed its output and not ended for"});
}

TEST(FilterProcess, ItGoesWithWhatItStarted) {
  const testing_support::TempFolder folder;
  const std::string fifo = (folder.path() / "fifo").string();
  std::signal(SIGPIPE, SIG_IGN);
  // The program and its child hold the fifo open; that its reader ends says that both are gone.
  const std::vector<std::string> command{
      "sh", "-c", "mkfifo \"$0\"; sleep 100000 > \"$0\" & sleep 100000 > \"$0\"", fifo};
  std::ifstream reader;
  const auto stop = [&] {
    if (!std::filesystem::exists(fifo)) return;
    reader.open(fifo);  // waits for a writer
    throw std::runtime_error("stop");
  };
  EXPECT_THROW(run_filter("--filter", command, "", kPatient, stop), std::runtime_error);
  std::string text;
  EXPECT_FALSE(std::getline(reader, text));
}

}  // namespace
}  // namespace dms
