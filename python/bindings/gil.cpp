#include "gil.h"

#include <atomic>

#include <unistd.h>

namespace nb = nanobind;

namespace dms::python {
namespace {

std::atomic<unsigned long> main_thread = 0;
std::atomic<bool> is_ending = false;

bool is_main_thread() { return PyThread_get_thread_ident() == main_thread; }

}  // namespace

WithoutGil::~WithoutGil() {
  while (is_ending && !is_main_thread()) ::pause();
  PyEval_RestoreThread(state_);
}

void check_signals() {
  if (!is_main_thread()) return;
  const nb::gil_scoped_acquire gil;
  if (PyErr_CheckSignals() != 0) throw nb::python_error();
}

void watch_interpreter() {
  const nb::object thread = nb::module_::import_("threading").attr("main_thread")();
  main_thread = nb::cast<unsigned long>(thread.attr("ident"));
  nb::module_::import_("atexit").attr("register")(nb::cpp_function([] { is_ending = true; }));
}

}  // namespace dms::python
