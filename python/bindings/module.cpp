// dms_cpp._core: libdms for Python. The package's Python files put the API on it.

#include <string>

#include <nanobind/stl/string.h>

#include "bind.h"
#include "devices.h"
#include "dms/error.h"
#include "errors.h"
#include "gil.h"

namespace nb = nanobind;

NB_MODULE(_core, module) {
  // What other threads still hold when the interpreter ends is no leak of ours.
  nb::set_leak_warnings(false);
  dms::python::watch_interpreter();
  dms::python::add_devices();
  dms::python::translate_errors();
  module.def(
      "throw_input_error",
      [](std::string field, std::string what, std::string got, std::string expected) {
        throw dms::InputError({.field = std::move(field),
                               .what = std::move(what),
                               .got = std::move(got),
                               .expected = std::move(expected)});
      },
      nb::arg("field"),
      nb::arg("what"),
      nb::arg("got") = "",
      nb::arg("expected") = "",
      nb::sig("def throw_input_error(field: str, what: str, got: str = '', expected: str = '') -> "
              "typing.NoReturn"),
      "Raises an InputError.");
  dms::python::bind_options(module);
  dms::python::bind_results(module);
  dms::python::bind_model_info(module);
  dms::python::bind_text(module);
  dms::python::bind_document(module);
  dms::python::bind_session(module);
  dms::python::bind_engine(module);
  dms::python::bind_api(module);
  dms::python::bind_operations(module);
}
