// Documents: prompts whose cache was computed once.

#include <chrono>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "arrays.h"
#include "bind.h"
#include "dms/chat.h"
#include "dms/request.h"
#include "gil.h"
#include "held_document.h"
#include "path_caster.h"

namespace dms::python {
namespace {

OwnedArray<int32_t, 1> ids_array(std::vector<int32_t> ids) {
  const size_t count = ids.size();
  int32_t* data = ids.data();
  return own_array<1>(std::move(ids), data, {count});
}

/// Of what a request that keeps its document has left.
HeldDocument document_of(const Generation& generation, std::vector<ChatMessage> messages) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return {.document = generation.document.value(),
          .note = {.messages = std::move(messages),
                   .created = std::chrono::duration_cast<std::chrono::seconds>(now).count()}};
}

int64_t save(const HeldDocument& self, const std::filesystem::path& file) {
  const WithoutGil unlocked;
  return self.document.save(file, write_note(self.note));
}

OwnedArray<int32_t, 1> document_ids(const ChatTemplate& chat_template,
                                    const Tokenizer& tokenizer,
                                    const std::vector<ChatMessage>& messages) {
  std::vector<int32_t> ids;
  {
    const WithoutGil unlocked;
    ids = common_beginning(messages, [&](const std::vector<ChatMessage>& talk) {
      return chat_template.render({.messages = talk}, tokenizer);
    });
  }
  return ids_array(std::move(ids));
}

}  // namespace

void bind_document(nb::module_& module) {
  nb::class_<HeldDocument>(module, "Document")
      .def(nb::new_(&document_of), nb::arg("generation"), nb::arg("messages"))
      .def("tokens", [](const HeldDocument& self) { return self.document.tokens(); })
      .def("ids",
           [](const HeldDocument& self) {
             const auto ids = self.document.ids();
             return ids_array({ids.begin(), ids.end()});
           })
      .def("messages",
           [](const HeldDocument& self) { return json_of_messages(self.note.messages); })
      .def("created", [](const HeldDocument& self) { return self.note.created; })
      .def("cache", [](const HeldDocument& self) { return self.document.cache(); })
      .def("kv", [](const HeldDocument& self) { return self.document.kv(); })
      .def("held_bytes", [](const HeldDocument& self) { return self.document.held_bytes(); })
      .def(
          "require_beginning",
          [](const HeldDocument& self, const IdArray& prompt) {
            require_beginning(self.document.ids(), ids_of(prompt));
          },
          nb::arg("prompt"))
      .def("save", &save, nb::arg("file"));
  module.def("document_ids",
             &document_ids,
             nb::arg("chat_template"),
             nb::arg("tokenizer"),
             nb::arg("messages"),
             "The tokens with which every conversation begins that goes on from the messages.");
}

}  // namespace dms::python
