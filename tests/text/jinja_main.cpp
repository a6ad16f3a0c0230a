// Renders chat templates for the property test against jinja2: reads JSON lines
// {template, messages, add_generation_prompt, kwargs, special_tokens}, prints {"text"} or
// {"error"}.

#include <iostream>
#include <string>

#include "dms/error.h"
#include "text/chat_template.h"

namespace {

dms::text::ChatJson answer(const std::string& line) {
  using dms::text::ChatJson;
  const ChatJson job = dms::text::parse_chat_json(line, "standard input");
  try {
    const dms::text::ChatTemplate chat(job.at("template").get<std::string>(), "template");
    const std::string text = chat.render(
        {.messages = job.at("messages"),
         .add_generation_prompt = job.value("add_generation_prompt", true),
         .kwargs = job.value("kwargs", ChatJson::object()),
         .special_tokens = job.value("special_tokens", std::map<std::string, std::string>{})});
    return {{"text", text}};
  } catch (const dms::InputError& error) {
    return {{"error", error.what()}};
  }
}

}  // namespace

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    std::cout << answer(line).dump() << "\n";
  }
  return 0;
}
