#include "train/interrupt.h"

#include <csignal>

#include <gtest/gtest.h>

namespace dms::train {
namespace {

TEST(Interrupt, IsRememberedUntilTheNextRun) {
  for (const int number : {SIGTERM, SIGINT}) {
    const InterruptGuard guard;
    EXPECT_EQ(InterruptGuard::signal(), 0);
    std::raise(number);
    EXPECT_EQ(InterruptGuard::signal(), number);
  }
}

TEST(Interrupt, ASecondSignalEndsTheProcess) {
  EXPECT_EXIT(
      {
        const InterruptGuard guard;
        std::raise(SIGTERM);
        std::raise(SIGTERM);
      },
      ::testing::KilledBySignal(SIGTERM),
      "");
}

}  // namespace
}  // namespace dms::train
