#pragma once
// Tools and texts that calls are looked for in.

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "serve/tool_form.h"
#include "serve/tool_parser.h"

namespace dms::serve::testing_support {

inline Tools tools() {
  std::vector<Tool> list{{.name = "weather"}, {.name = "weather_now"}, {.name = "add"}};
  list[0].parameters = OrderedJson::parse(R"({"type": "object", "properties": {
      "city": {"type": "string"}, "days": {"type": "integer"},
      "units": {"anyOf": [{"type": "string"}, {"type": "null"}]}, "tags": {"type": "array"}, "scale": {"enum": ["C", "F"]}}})");
  return std::make_shared<const std::vector<Tool>>(std::move(list));
}

/// What an answer came to, on lines: "text: ..." and "NAME(ARGUMENTS)" for each call.
struct Answer {
  std::string content{};
  std::vector<std::string> calls{};

  void add(const ToolParser::Parts& parts) {
    content += parts.content;
    for (const CallDelta& delta : parts.calls) {
      if (!delta.name.empty()) calls.push_back(delta.name + "(");
      calls.at(static_cast<size_t>(delta.index)) += delta.arguments;
    }
  }
  bool operator==(const Answer&) const = default;
};

inline Answer parse(std::string_view form, const std::vector<std::string_view>& pieces) {
  ToolParser parser(*find_tool_form(form), tools());
  Answer answer;
  for (const std::string_view piece : pieces) answer.add(parser.push(piece));
  answer.add(parser.finish());
  for (std::string& call : answer.calls) call += ")";
  return answer;
}

inline Answer parse(std::string_view form, std::string_view text) {
  return parse(form, std::vector{text});
}

}  // namespace dms::serve::testing_support
