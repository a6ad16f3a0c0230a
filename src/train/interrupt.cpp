#include "train/interrupt.h"

#include <csignal>

namespace dms::train {
namespace {

volatile std::sig_atomic_t received = 0;

extern "C" void on_signal(int number) {
  received = number;
  std::signal(number, SIG_DFL);
}

}  // namespace

InterruptGuard::InterruptGuard() {
  received = 0;
  std::signal(SIGTERM, on_signal);
  std::signal(SIGINT, on_signal);
}

InterruptGuard::~InterruptGuard() {
  std::signal(SIGTERM, SIG_DFL);
  std::signal(SIGINT, SIG_DFL);
}

int InterruptGuard::signal() { return received; }

}  // namespace dms::train
