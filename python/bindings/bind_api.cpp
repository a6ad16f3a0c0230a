// The server's endpoints without a socket: requests as Python has them, answers in pieces.

#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include "bind.h"
#include "gil.h"
#include "held_api.h"
#include "path_caster.h"

namespace nb = nanobind;

namespace dms::python {
namespace {

using serve::GivenTemplate;
using serve::LocalExchange;
using serve::ServedOptions;
using serve::ServerSettings;

ServerSettings default_settings() {
  ServerSettings settings{.allowed_hosts = {"*"}, .version = DMS_VERSION, .page = false};
  return settings;
}

std::shared_ptr<HeldApi> open(const std::shared_ptr<Driver>& driver,
                              const ServerSettings& settings,
                              ServedOptions options,
                              const CacheOptions& cache) {
  const WithoutGil unlocked;
  options.slots = settings.slots.count;
  return std::make_shared<HeldApi>(driver, settings, options, cache);
}

std::shared_ptr<LocalExchange> submit(HeldApi& api,
                                      std::string method,
                                      const std::string& target,
                                      const serve::Headers& headers,
                                      const nb::bytes& body) {
  std::string bytes(body.c_str(), body.size());
  const WithoutGil unlocked;
  return api.submit(serve::head_of(std::move(method), target, headers), std::move(bytes));
}

/// (status, headers, bytes, is_over, is_lost)
std::tuple<int, serve::Headers, nb::bytes, bool, bool> take(LocalExchange& call) {
  serve::LocalAnswer taken;
  {
    const WithoutGil unlocked;
    taken = call.take();
  }
  return {taken.status,
          std::move(taken.headers),
          nb::bytes(taken.bytes.data(), taken.bytes.size()),
          taken.is_over,
          taken.is_lost};
}

std::vector<int64_t> serve_calls(HeldApi& api) {
  const WithoutGil unlocked;
  return api.serve();
}

void bind_settings(nb::module_& module) {
  nb::class_<ServerSettings>(module, "ApiSettings")
      .def("__init__", [](ServerSettings* self) { new (self) ServerSettings(default_settings()); })
      .def_rw("api_keys", &ServerSettings::api_keys)
      .def_rw("max_answers", &ServerSettings::most_answers)
      .def_rw("max_body_bytes", &ServerSettings::max_body_bytes)
      .def_rw("max_untaken_bytes", &ServerSettings::max_unread_bytes)
      .def_prop_rw(
          "request_timeout_s",
          [](const ServerSettings& self) { return self.request_timeout.count(); },
          [](ServerSettings& self, int64_t s) { self.request_timeout = std::chrono::seconds(s); })
      .def_prop_rw(
          "documents",
          [](const ServerSettings& self) { return self.documents.folder; },
          [](ServerSettings& self, std::filesystem::path folder) {
            self.documents.folder = std::move(folder);
          })
      .def_prop_rw(
          "shared_documents",
          [](const ServerSettings& self) { return self.documents.is_shared; },
          [](ServerSettings& self, bool is_shared) { self.documents.is_shared = is_shared; })
      .def_prop_rw(
          "slots",
          [](const ServerSettings& self) { return self.slots.count; },
          [](ServerSettings& self, int64_t count) { self.slots.count = count; })
      .def_prop_rw(
          "slot_save_path",
          [](const ServerSettings& self) { return self.slots.folder; },
          [](ServerSettings& self, std::filesystem::path folder) {
            self.slots.folder = std::move(folder);
          });
  nb::class_<GivenTemplate>(module, "GivenTemplate")
      .def("__init__",
           [](GivenTemplate* self, std::string text) {
             new (self) GivenTemplate{.text = std::move(text), .name = "chat_template"};
           })
      .def_static("plain", &serve::plain_template);
  nb::class_<ServedOptions>(module, "ApiOptions")
      .def(nb::init<>())
      .def_rw("model", &ServedOptions::folder)
      .def_rw("names", &ServedOptions::names)
      .def_rw("chat_template", &ServedOptions::chat_template, nb::arg().none())
      .def_rw("tool_parser", &ServedOptions::tool_parser)
      .def_rw("speculate", &ServedOptions::speculate)
      .def_rw("strip_agent_headers", &ServedOptions::strip_agent_headers);
}

}  // namespace

void bind_api(nb::module_& module) {
  bind_settings(module);
  nb::class_<LocalExchange>(module, "ApiCall")
      .def_prop_ro("number", &LocalExchange::number)
      .def("take", &take)
      .def("cancel", [](LocalExchange& call) {
        const WithoutGil unlocked;
        call.cancel();
      });
  nb::class_<HeldApi>(module, "Api")
      .def(nb::new_(&open),
           nb::arg("engine"),
           nb::arg("settings"),
           nb::arg("options"),
           nb::arg("cache"))
      .def("submit",
           &submit,
           nb::arg("method"),
           nb::arg("target"),
           nb::arg("headers"),
           nb::arg("body"))
      .def("serve", &serve_calls)
      .def(
          "stop",
          [](HeldApi& api, std::string why) {
            const WithoutGil unlocked;
            api.stop(std::move(why));
          },
          nb::arg("why"));
}

}  // namespace dms::python
