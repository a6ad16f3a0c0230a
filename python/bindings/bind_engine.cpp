// The LLM itself, taken in turns.

#include <filesystem>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include "arrays.h"
#include "bind.h"
#include "driver.h"
#include "gil.h"
#include "held_document.h"
#include "held_session.h"
#include "make_request.h"
#include "path_caster.h"

namespace dms::python {
namespace {

/// `cache`: of requests that do not say otherwise; refused here rather than by the first of them.
std::shared_ptr<Driver> open(const std::filesystem::path& folder,
                             const ModelOptions& options,
                             const CacheOptions& cache) {
  const WithoutGil unlocked;
  ModelSource source(folder, options);
  source.check(cache);
  return std::make_shared<Driver>(LLM(std::move(source)));
}

/// The form of an answer, which submitting would see to where others wait for it.
void compile(Driver& driver, SamplingParams& sampling) {
  if (sampling.structure.kind == Structure::Kind::none) return;
  const Structure structure = sampling.structure;
  std::shared_ptr<const CompiledStructure> compiled;
  {
    const WithoutGil unlocked;
    compiled = driver.llm().compile(structure);
  }
  sampling.structure.compiled = std::move(compiled);
}

std::unique_ptr<PendingRequest> submit(const std::shared_ptr<Driver>& driver,
                                       const IdArray& prompt,
                                       const SamplingParams& sampling,
                                       const CacheOptions& cache,
                                       int64_t answers,
                                       int64_t priority,
                                       std::optional<double> timeout_s,
                                       Delivery delivery,
                                       const HeldDocument* document,
                                       bool keeps_document) {
  Request request = make_request(ids_of(prompt), sampling, priority, timeout_s);
  request.cache = cache;
  request.answers = answers;
  if (document != nullptr) request.document = document->document;
  request.keeps_document = keeps_document;
  const WithoutGil unlocked;
  return std::make_unique<PendingRequest>(
      driver, std::move(request), delivery, [&](Request complete) {
        return driver->llm().submit(std::move(complete));
      });
}

std::unique_ptr<HeldSession> new_session(const std::shared_ptr<Driver>& driver,
                                         const CacheOptions& cache) {
  const WithoutGil unlocked;
  return driver->in_turn(
      [&] { return std::make_unique<HeldSession>(driver, driver->llm().new_session(cache)); });
}

std::unique_ptr<HeldSession> session_after(const std::shared_ptr<Driver>& driver,
                                           const HeldDocument& document) {
  const WithoutGil unlocked;
  return driver->in_turn([&] {
    return std::make_unique<HeldSession>(driver, driver->llm().new_session(document.document));
  });
}

/// The file is read and checked before others are kept waiting.
HeldDocument load_document(const std::shared_ptr<Driver>& driver,
                           const std::filesystem::path& path) {
  const WithoutGil unlocked;
  const DocumentFile file = driver->llm().open_document(path);
  DocumentNote note = read_note(file.note(), path.string());
  driver->llm().check_document(file);
  return driver->in_turn([&] {
    return HeldDocument{.document = driver->llm().load_document(file), .note = std::move(note)};
  });
}

std::unique_ptr<HeldSession> load_session(const std::shared_ptr<Driver>& driver,
                                          const std::filesystem::path& file) {
  const WithoutGil unlocked;
  return driver->in_turn(
      [&] { return std::make_unique<HeldSession>(driver, driver->llm().load_session(file)); });
}

std::vector<RequestId> serve(Driver& driver) {
  const WithoutGil unlocked;
  return driver.serve();
}

void stop_serving(Driver& driver) {
  const WithoutGil unlocked;
  driver.stop_serving();
}

}  // namespace

void bind_engine(nb::module_& module) {
  nb::class_<Driver>(module, "Engine")
      .def(nb::new_(&open), nb::arg("folder"), nb::arg("options"), nb::arg("cache"))
      .def_prop_ro(
          "info", [](Driver& driver) { return driver.llm().info(); }, nb::rv_policy::move)
      .def_prop_ro("has_tokenizer", [](Driver& driver) { return driver.llm().has_tokenizer(); })
      .def("tokenizer", [](Driver& driver) { return driver.llm().tokenizer(); })
      .def("compile", &compile, nb::arg("sampling"))
      .def("submit",
           &submit,
           nb::arg("prompt"),
           nb::arg("sampling"),
           nb::arg("cache"),
           nb::arg("answers"),
           nb::arg("priority"),
           nb::arg("timeout_s").none(),
           nb::arg("delivery"),
           nb::arg("document").none(),
           nb::arg("keeps_document"))
      .def("session_after", &session_after, nb::arg("document"))
      .def("load_document", &load_document, nb::arg("file"))
      .def("stats", [](Driver& driver) { return driver.llm().stats(); })
      .def("new_session", &new_session, nb::arg("cache"))
      .def("load_session", &load_session, nb::arg("file"))
      .def("serve", &serve)
      .def("stop_serving", &stop_serving);
}

}  // namespace dms::python
