#pragma once
// What each file of bindings adds to the module.

#include <nanobind/nanobind.h>

namespace dms::python {

void bind_options(nanobind::module_& module);
void bind_results(nanobind::module_& module);
void bind_model_info(nanobind::module_& module);
void bind_text(nanobind::module_& module);
void bind_document(nanobind::module_& module);
void bind_engine(nanobind::module_& module);
void bind_session(nanobind::module_& module);
void bind_api(nanobind::module_& module);
void bind_operations(nanobind::module_& module);

}  // namespace dms::python
