#include "train/interrupt.h"

#include <array>
#include <csignal>

namespace dms::train {
namespace {

// The last is for launchers that pass it on and leave the ranks their time: mpirun kills them some
// seconds after the others.
constexpr std::array kSignals{SIGTERM, SIGINT, SIGUSR1};

volatile std::sig_atomic_t received = 0;

extern "C" void on_signal(int number) {
  received = number;
  std::signal(number, SIG_DFL);
}

}  // namespace

InterruptGuard::InterruptGuard() {
  received = 0;
  for (const int number : kSignals) std::signal(number, on_signal);
}

InterruptGuard::~InterruptGuard() {
  for (const int number : kSignals) std::signal(number, SIG_DFL);
}

int InterruptGuard::signal() { return received; }

}  // namespace dms::train
