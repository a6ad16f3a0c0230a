#include "train/report/progress.h"

#include <array>
#include <cmath>
#include <cstdio>
#include <string>

#include <gtest/gtest.h>
#include <pty.h>
#include <unistd.h>

namespace dms::train {
namespace {

StepMetrics step_of(int64_t step) {
  return {.step = step,
          .loss = 0.08125,
          .kl = 0.0301,
          .lm_loss = 2.31,
          .cr = 1.934,
          .target_cr = 2.0,
          .tok_s = 1000,
          .tokens = 2000};
}

/// What `action` writes to the stream it is given, which is no terminal.
template <class Action>
std::string written(Action action) {
  std::FILE* const stream = ::tmpfile();
  action(stream);
  std::fflush(stream);
  const auto length = static_cast<size_t>(std::ftell(stream));
  std::string all(length, '\0');
  std::rewind(stream);
  EXPECT_EQ(std::fread(all.data(), 1, length, stream), length);
  std::fclose(stream);
  return all;
}

TEST(ProgressText, SaysEverything) {
  EXPECT_EQ(progress_text(step_of(34), 544, 3725),
            "step 34/544  loss 0.08125  KL 0.0301  LM 2.31  CR 1.93/2.00  1000 tok/s  1h02m left");
}

TEST(ProgressText, LeavesOutWhatLanguageModellingLacks) {
  const StepMetrics step{.step = 1, .loss = 2.5, .lm_loss = 2.5, .tok_s = 12345};
  EXPECT_EQ(progress_text(step, 9, -1), "step 1/9  loss 2.5  LM 2.5  12.3k tok/s  ? left");
}

TEST(ProgressText, ShowsWhatIsNotFinite) {
  const StepMetrics step{.step = 1, .loss = std::nan(""), .lm_loss = std::nan("")};
  EXPECT_EQ(progress_text(step, 9, std::nan("")), "step 1/9  loss nan  LM nan  0 tok/s  ? left");
}

TEST(TrainProgress, WritesALineEveryLoggingStepsIntoAFile) {
  const std::string text = written([](std::FILE* out) {
    TrainProgress progress(7, 3, out);
    for (int64_t step = 1; step <= 7; ++step) progress.show(step_of(step));
    progress.note("saved");
  });
  // Two seconds a step; the last step is always shown.
  EXPECT_EQ(text,
            progress_text(step_of(3), 7, 8) + "\n" + progress_text(step_of(6), 7, 2) + "\n" +
                progress_text(step_of(7), 7, 0) + "\nsaved\n");
}

TEST(TrainProgress, WithoutLoggingStepsAFileHoldsNotesOnly) {
  EXPECT_EQ(written([](std::FILE* out) {
              TrainProgress progress(2, 0, out);
              progress.show(step_of(1));
              progress.show(step_of(2));
              progress.note("saved");
            }),
            "saved\n");
}

TEST(TrainProgress, RewritesOneLineOnATerminal) {
  int master = -1;
  int slave = -1;
  winsize size{.ws_row = 24, .ws_col = 40, .ws_xpixel = 0, .ws_ypixel = 0};
  if (::openpty(&master, &slave, nullptr, nullptr, &size) != 0) GTEST_SKIP() << "no terminals here";
  std::FILE* const out = ::fdopen(slave, "w");
  {
    TrainProgress progress(544, 100, out);
    progress.show(step_of(1));
    progress.show(step_of(2));
    progress.note("saved");
  }
  std::fclose(out);  // so that reading ends behind what was written
  std::string text;
  std::array<char, 256> part{};
  for (ssize_t count = 0; (count = ::read(master, part.data(), part.size())) > 0;) {
    text.append(part.data(), static_cast<size_t>(count));
  }
  ::close(master);
  const std::string one = progress_text(step_of(1), 544, 1086).substr(0, 39);
  const std::string two = progress_text(step_of(2), 544, 1084).substr(0, 39);
  EXPECT_EQ(text, "\r\x1b[K" + one + "\r\x1b[K" + two + "\r\x1b[Ksaved\r\n" + two + "\r\n");
}

}  // namespace
}  // namespace dms::train
