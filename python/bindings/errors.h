#pragma once
// dms::InputError and dms::RunError as dms_cpp.InputError and dms_cpp.RunError.

namespace dms::python {

/// Names of fields in messages become those of the Python package.
void translate_errors();

}  // namespace dms::python
