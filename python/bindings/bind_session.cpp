// Sessions and requests on their way.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include "arrays.h"
#include "bind.h"
#include "gil.h"
#include "held_session.h"
#include "make_request.h"
#include "path_caster.h"

namespace dms::python {
namespace {

/// Calls a member function without Python's lock.
template <auto Function, class Self, class... Args>
auto unlocked(Self& self, Args&&... args) {
  const WithoutGil unlocked;
  return (self.*Function)(std::forward<Args>(args)...);
}

OwnedArray<int32_t, 1> ids(HeldSession& session) {
  std::vector<int32_t> values = unlocked<&HeldSession::ids>(session);
  const size_t count = values.size();
  int32_t* data = values.data();
  return own_array<1>(std::move(values), data, {count});
}

OwnedArray<float, 1> append(HeldSession& session, const IdArray& ids) {
  auto logits = unlocked<&HeldSession::append>(session, ids_of(ids));
  float* data = logits.get();
  return own_array<1>(std::move(logits), data, {static_cast<size_t>(session.info().vocab)});
}

int64_t reusable_tokens(HeldSession& session, const IdArray& ids) {
  return unlocked<&HeldSession::reusable_tokens>(session, ids_of(ids));
}

OwnedArray<uint8_t, 3> decisions(HeldSession& session) {
  std::vector<uint8_t> values = unlocked<&HeldSession::decisions>(session);
  const auto layers = static_cast<size_t>(session.info().layers);
  const auto heads = static_cast<size_t>(session.info().kv_heads);
  const size_t tokens = values.size() / (layers * heads);
  uint8_t* data = values.data();
  return own_array<3>(std::move(values), data, {layers, heads, tokens});
}

using ScoreArrays = std::pair<OwnedArray<double, 1>, std::optional<OwnedArray<float, 2>>>;

ScoreArrays score(HeldSession& session, const IdArray& ids, bool wants_logits) {
  Scores scores = unlocked<&HeldSession::score>(session, ids_of(ids), wants_logits);
  const size_t count = scores.log_probabilities.size();
  double* values = scores.log_probabilities.data();
  auto log_probabilities = own_array<1>(std::move(scores.log_probabilities), values, {count});
  std::optional<OwnedArray<float, 2>> logits;
  if (wants_logits) {
    float* rows = scores.logits.get();
    logits = own_array<2>(
        std::move(scores.logits), rows, {ids.shape(0), static_cast<size_t>(session.info().vocab)});
  }
  return {std::move(log_probabilities), std::move(logits)};
}

std::unique_ptr<PendingRequest> submit(HeldSession& session,
                                       const IdArray& prompt,
                                       const SamplingParams& sampling,
                                       int64_t priority,
                                       std::optional<double> timeout_s,
                                       Delivery delivery) {
  Request request = make_request(ids_of(prompt), sampling, priority, timeout_s);
  const WithoutGil unlocked;
  return session.submit(std::move(request), delivery);
}

void bind_requests(nb::module_& module) {
  nb::enum_<Delivery>(module, "Delivery")
      .value("WHOLE", Delivery::whole)
      .value("STREAM", Delivery::stream)
      .value("ANNOUNCE", Delivery::announce);
  nb::class_<PendingRequest>(module, "PendingRequest")
      .def_prop_ro("id", &PendingRequest::id)
      .def("is_done", &unlocked<&PendingRequest::is_done, PendingRequest>)
      .def("wait", &unlocked<&PendingRequest::wait, PendingRequest>)
      .def("take", &unlocked<&PendingRequest::take, PendingRequest>)
      .def("next", &unlocked<&PendingRequest::next, PendingRequest>)
      .def("cancel", &unlocked<&PendingRequest::cancel, PendingRequest>)
      .def("close", &unlocked<&PendingRequest::close, PendingRequest>);
}

}  // namespace

void bind_session(nb::module_& module) {
  bind_requests(module);
  nb::class_<HeldSession>(module, "Session")
      .def("tokens", &unlocked<&HeldSession::tokens, HeldSession>)
      .def("max_tokens", &unlocked<&HeldSession::max_tokens, HeldSession>)
      .def("ids", &ids)
      .def("kv", &unlocked<&HeldSession::kv, HeldSession>)
      .def("timings", &unlocked<&HeldSession::timings, HeldSession>)
      .def("decisions", &decisions)
      .def("append", &append, nb::arg("ids"))
      .def("score", &score, nb::arg("ids"), nb::arg("wants_logits"))
      .def("submit",
           &submit,
           nb::arg("prompt"),
           nb::arg("sampling"),
           nb::arg("priority"),
           nb::arg("timeout_s").none(),
           nb::arg("delivery"))
      .def("fork", &unlocked<&HeldSession::fork, HeldSession>)
      .def("truncate", &unlocked<&HeldSession::truncate, HeldSession, int64_t>, nb::arg("tokens"))
      .def("reusable_tokens", &reusable_tokens, nb::arg("ids"))
      .def("save",
           &unlocked<&HeldSession::save, HeldSession, const std::filesystem::path&>,
           nb::arg("file"));
}

}  // namespace dms::python
