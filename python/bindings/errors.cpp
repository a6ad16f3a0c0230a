#include "errors.h"

#include <algorithm>
#include <array>
#include <exception>
#include <string>
#include <string_view>

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include "dms/error.h"

namespace nb = nanobind;

namespace dms::python {
namespace {

struct Name {
  std::string_view field;
  std::string_view argument;
};

constexpr std::array kNames{
    Name{"max_new_tokens", "max_tokens"},
    Name{"stop_ids", "stop_token_ids"},
    Name{"log_probabilities", "logprobs"},
    Name{"prompt_log_probabilities", "prompt_logprobs"},
    Name{"answers", "n"},
    Name{"window_tokens", "window"},
    Name{"decisions_file", "decisions"},
    Name{"kv_dtype", "kv_cache_dtype"},
    Name{"max_step_tokens", "max_num_batched_tokens"},
    Name{"max_sequences", "max_num_seqs"},
    Name{"kv_memory_bytes", "kv_memory"},
    Name{"prefix_cache", "enable_prefix_caching"},
    Name{"swap_bytes", "swap_space"},
    Name{"arguments", "chat_template_kwargs"},
};

constexpr std::string_view kNameCharacters =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";

std::string_view argument_of(std::string_view field) {
  const auto* name = std::ranges::find(kNames, field, &Name::field);
  return name == kNames.end() ? field : name->argument;
}

/// "log_probabilities" is called logprobs here; what follows a dot or bracket stays.
std::string place_in_python(const std::string& field) {
  const size_t end = std::min(field.find_first_of(".["), field.size());
  return std::string(argument_of(std::string_view(field).substr(0, end))) + field.substr(end);
}

/// Names within a sentence; single words of the language ("answers") are not meant.
std::string in_python(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = std::min(text.find_first_of(kNameCharacters, at), text.size());
    const size_t end = std::min(text.find_first_not_of(kNameCharacters, begin), text.size());
    const std::string_view word = text.substr(begin, end - begin);
    out += text.substr(at, begin - at);
    out += word.find('_') != std::string_view::npos ? argument_of(word) : word;
    at = end;
  }
  return out;
}

/// Names of files may be any bytes.
nb::object text(const std::string& bytes) {
  return nb::steal(
      PyUnicode_DecodeUTF8(bytes.data(), static_cast<Py_ssize_t>(bytes.size()), "replace"));
}

template <class Error>
void raise(const char* type_name, const Error& error) {
  ErrorParts parts = error.parts();
  parts.field = place_in_python(parts.field);
  for (std::string* part : {&parts.what, &parts.got, &parts.expected, &parts.hint}) {
    *part = in_python(*part);
  }
  const nb::object type = nb::module_::import_("dms_cpp.errors").attr(type_name);
  const nb::object value = type(Error(parts).what(),
                                nb::arg("where") = text(parts.where),
                                nb::arg("field") = text(parts.field),
                                nb::arg("got") = text(parts.got),
                                nb::arg("expected") = text(parts.expected),
                                nb::arg("hint") = text(parts.hint));
  PyErr_SetObject(type.ptr(), value.ptr());
}

}  // namespace

void translate_errors() {
  nb::register_exception_translator([](const std::exception_ptr& thrown, void*) {
    try {
      std::rethrow_exception(thrown);
    } catch (const InputError& error) {
      raise("InputError", error);
    } catch (const RunError& error) {
      raise("RunError", error);
    }
  });
}

}  // namespace dms::python
