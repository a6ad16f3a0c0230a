#pragma once
// Ctrl-C while an answer is made: asks for a stop instead of ending the program.

#include <csignal>

namespace dms::cli {

/// While it lives, Ctrl-C sets a flag; a third one that nothing has looked at ends the program as
/// usual. One inside another shares its flag.
class InterruptFlag {
 public:
  InterruptFlag();
  ~InterruptFlag();
  InterruptFlag(const InterruptFlag&) = delete;
  InterruptFlag& operator=(const InterruptFlag&) = delete;

  bool is_set() const;
  void clear();

 private:
  struct sigaction before_ {};
};

}  // namespace dms::cli
