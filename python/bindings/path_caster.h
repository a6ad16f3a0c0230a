#pragma once
// Paths as Python has them: any str or os.PathLike, which bytes that are no text may be in.
// (nanobind's own names a type in the stubs that mypy calls incomplete.)

#include <filesystem>
#include <string>

#include <nanobind/nanobind.h>

NAMESPACE_BEGIN(NB_NAMESPACE)
NAMESPACE_BEGIN(detail)

template <>
struct type_caster<std::filesystem::path> {
  NB_TYPE_CASTER(std::filesystem::path, io_name("str | os.PathLike[str]", "str"))

  bool from_python(handle source, uint8_t, cleanup_list*) noexcept {
    PyObject* bytes = nullptr;
    if (PyUnicode_FSConverter(source.ptr(), &bytes) == 0) {
      PyErr_Clear();
      return false;
    }
    const object owner = steal(bytes);
    char* text = nullptr;
    Py_ssize_t size = 0;
    if (PyBytes_AsStringAndSize(bytes, &text, &size) != 0) {
      PyErr_Clear();
      return false;
    }
    value = std::string(text, static_cast<size_t>(size));
    return true;
  }

  static handle from_cpp(const std::filesystem::path& path, rv_policy, cleanup_list*) noexcept {
    const std::string& text = path.native();
    return PyUnicode_DecodeFSDefaultAndSize(text.data(), static_cast<Py_ssize_t>(text.size()));
  }
};

NAMESPACE_END(detail)
NAMESPACE_END(NB_NAMESPACE)
