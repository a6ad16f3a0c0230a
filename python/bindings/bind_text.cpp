// Tokenizer and chat templates by themselves.

#include <filesystem>
#include <limits>
#include <string>
#include <utility>

#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/vector.h>

#include "arrays.h"
#include "bind.h"
#include "dms/chat.h"
#include "gil.h"
#include "path_caster.h"

namespace dms::python {
namespace {

void bind_tokenizer(nb::module_& module) {
  nb::class_<TokenInfo>(module, "TokenInfo", "What a token is.")
      .def_ro("text", &TokenInfo::text, "As the vocabulary spells it.")
      .def_prop_ro(
          "bytes",
          [](const TokenInfo& token) { return nb::bytes(token.bytes.data(), token.bytes.size()); },
          "What it adds to a text; perhaps a part of a character.")
      .def_ro("is_special", &TokenInfo::is_special);
  nb::class_<Tokenizer>(module, "Tokenizer", "A folder's tokenizer.json. Any thread may use it.")
      .def(nb::init<const std::filesystem::path&>(),
           nb::arg("path"),
           "A Hugging Face folder, a GGUF file, or a tokenizer.json alone.")
      .def(
          "encode",
          [](const Tokenizer& self, const std::string& text, bool add_special_tokens) {
            const WithoutGil unlocked;
            return self.encode(text, add_special_tokens);
          },
          nb::arg("text"),
          nb::arg("add_special_tokens") = true,
          "Token ids of a text, the same as Hugging Face's.")
      .def(
          "decode",
          [](const Tokenizer& self, const std::vector<int32_t>& ids, bool skip_special_tokens) {
            const WithoutGil unlocked;
            return self.decode(ids, skip_special_tokens);
          },
          nb::arg("token_ids"),
          nb::arg("skip_special_tokens") = true,
          "The text of token ids; ids that are no token's are left out.")
      .def("token", &Tokenizer::token, nb::arg("token_id"), "None where the id is no token's.")
      .def(
          "id_of",
          [](const Tokenizer& self, const std::string& token) { return self.id_of(token); },
          nb::arg("token"),
          "The id of a token as the vocabulary spells it; None where there is none.")
      .def("__len__", &Tokenizer::id_limit, "One more than the largest id.")
      .def_prop_ro("bos_token_id", &Tokenizer::bos_id, "Begins a text.")
      .def_prop_ro("eos_token_id", &Tokenizer::eos_id, "Ends a text.");
}

void bind_chat(nb::module_& module) {
  nb::class_<ChatMessage>(module, "ChatMessage")
      .def(
          "__init__",
          [](ChatMessage* self,
             std::string role,
             std::string content,
             std::string tool_calls,
             std::string fields) {
            new (self) ChatMessage{.role = std::move(role),
                                   .content = std::move(content),
                                   .tool_calls = std::move(tool_calls),
                                   .fields = std::move(fields)};
          },
          nb::arg("role"),
          nb::arg("content"),
          nb::arg("tool_calls"),
          nb::arg("fields"));
  nb::class_<ChatTemplate>(module, "ChatTemplate")
      .def(nb::init<const std::string&, const std::string&, const std::filesystem::path&>(),
           nb::arg("source"),
           nb::arg("where"),
           nb::arg("model_folder"))
      .def_static("load", &ChatTemplate::load, nb::arg("model_folder"))
      .def(
          "render",
          [](const ChatTemplate& self,
             std::vector<ChatMessage> messages,
             std::string tools,
             std::string arguments,
             bool add_generation_prompt) {
            const WithoutGil unlocked;
            return self.render(ChatRequest{.messages = std::move(messages),
                                           .tools = std::move(tools),
                                           .arguments = std::move(arguments),
                                           .add_generation_prompt = add_generation_prompt});
          },
          nb::arg("messages"),
          nb::arg("tools"),
          nb::arg("arguments"),
          nb::arg("add_generation_prompt"));
}

}  // namespace

void bind_text(nb::module_& module) {
  bind_tokenizer(module);
  bind_chat(module);
}

}  // namespace dms::python
