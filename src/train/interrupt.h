#pragma once
// SIGTERM, SIGINT and SIGUSR1 ask a run to save and stop after its current step; a second one ends
// it at once.

namespace dms::train {

/// Installs the handlers while it lives.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  /// The signal that came, 0: none.
  static int signal();
};

}  // namespace dms::train
