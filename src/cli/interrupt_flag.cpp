#include "cli/interrupt_flag.h"

namespace dms::cli {
namespace {

constexpr int kPatience = 3;

volatile std::sig_atomic_t g_interrupts = 0;  // a signal handler reaches nothing but a global

void count_interrupt(int signal) {
  g_interrupts = g_interrupts + 1;
  if (g_interrupts < kPatience) return;
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

}  // namespace

InterruptFlag::InterruptFlag() {
  sigaction(SIGINT, nullptr, &before_);
  if (before_.sa_handler != count_interrupt) clear();
  struct sigaction action {};
  action.sa_handler = count_interrupt;
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
}

InterruptFlag::~InterruptFlag() { sigaction(SIGINT, &before_, nullptr); }

bool InterruptFlag::is_set() const { return g_interrupts != 0; }
void InterruptFlag::clear() { g_interrupts = 0; }

}  // namespace dms::cli
