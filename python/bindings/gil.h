#pragma once
// Python's global lock and its signals, for calls that compute for long.

#include <nanobind/nanobind.h>

namespace dms::python {

/// Gives the lock up for a scope. A thread that would take it back while the interpreter ends
/// sleeps instead, until the process is gone: Python would unwind it through destructors.
class WithoutGil {
 public:
  WithoutGil() : state_(PyEval_SaveThread()) {}
  ~WithoutGil();
  WithoutGil(const WithoutGil&) = delete;
  WithoutGil& operator=(const WithoutGil&) = delete;

 private:
  PyThreadState* state_;
};

/// Runs the handlers of signals that came, on the main thread; on others nothing. Called without
/// the lock. Throws nb::python_error where one raised: KeyboardInterrupt.
void check_signals();

/// Remembers the main thread, and to learn of the interpreter's end.
void watch_interpreter();

}  // namespace dms::python
